"""What is said of one server: where it runs, since when, and why it is as it is."""

from __future__ import annotations

from tritop.model import Container, Launch, ModelState, Server, ServerState, Snapshot
from tui.format import age_s, count
from tui.present.look import Look

__all__ = [
    "cpu_cores", "exit_code", "image_text", "is_foreign", "memory_used_bytes", "ports_text", "restarts", "runs_on",
    "server_why", "up_s", "whose",
]  # fmt: skip


def runs_on(server: Server) -> str:
    """`docker`, `embedded`, or `remote` for a server of which only its address is known."""
    if server.container is not None:
        return "docker"
    if server.launch is None:
        return "remote"
    return "embedded" if server.launch.runtime == "local" else server.launch.runtime


def is_foreign(container: Container | None) -> bool:
    """Whether a container is somebody else's: it is touched only by who was told so."""
    return container is not None and not container.ours


def whose(container: Container, look: Look) -> str:
    """Who made a container that is not ours, as part of a sentence."""
    if not container.managed:
        return "not by tritop"
    return f"by {look.clean(container.owner, 60) or 'another operator'}"


def up_s(server: Server, now: float) -> float | None:
    """How long it has been running, `None` where it does not or nobody knows."""
    container = server.container
    if container is not None:
        started_at = container.started_at if container.runs else None
    else:
        started_at = server.processes.started_at
    return None if started_at is None else max(0.0, now - started_at)


def cpu_cores(server: Server) -> float | None:
    """CPU time over wall time of its container, or of its processes where tritop runs them on this host."""
    return (server.processes if server.container is None else server.container).cpu_cores


def memory_used_bytes(server: Server) -> int | None:
    """Memory of its container, or of its processes where tritop runs them on this host."""
    return (server.processes if server.container is None else server.container).memory_used_bytes


def restarts(server: Server) -> int | None:
    """Restarts by tritop and by the engine; `None` where neither runs it."""
    if server.launch is None and server.container is None:
        return None
    by_tritop = server.launch.restarts if server.launch is not None else 0
    return by_tritop + (server.container.engine_restarts if server.container is not None else 0)


def exit_code(server: Server) -> int | None:
    """With what its last run ended; `None` where none has ended or it is not known."""
    if server.launch is not None and server.launch.exit_code is not None:
        return server.launch.exit_code
    return server.container.exit_code if server.container is not None else None


def image_text(image: str) -> str:
    """An image without its registry and folders: `tritonserver:26.01-py3`; an id shortened as the engine does."""
    if image.startswith("sha256:"):
        return image.removeprefix("sha256:")[:12]
    return image.rsplit("/", 1)[-1]


def ports_text(container: Container | None) -> str:
    """Its published ports on the engine's host: `18000-18002`, or a list; `*:` in front is every address."""
    if container is None or not container.ports:
        return ""
    published = [address.rpartition(":") for _, address in sorted(container.ports)]
    ports = list(dict.fromkeys(int(port) for _, _, port in published if port.isdecimal()))
    anywhere = any(host.strip("[]") in ("0.0.0.0", "::", "") for host, _, _ in published)
    if not ports:
        return ""
    if len(ports) > 1 and ports == list(range(ports[0], ports[-1] + 1)):
        text = f"{ports[0]}-{ports[-1]}"
    else:
        text = ",".join(map(str, ports))
    return f"*:{text}" if anywhere else text


def server_why(snapshot: Snapshot, server: Server, look: Look) -> str:
    """The one thing to know of a server beside its state: what is being done, or why it is not READY.

    What Triton says is set against what the engine says: one that runs and does not answer, or
    answers and is not ready, is told apart from one that has ended.
    """
    launch = server.launch
    starting = server.state in (ServerState.CONNECTING, ServerState.STARTING, ServerState.STOPPING)
    if launch is not None and launch.step and (starting or not launch.explanation):
        return _step(launch, look)
    said = _unwell(snapshot, server, look)
    notes = [said] if said else []
    if is_foreign(server.container):
        assert server.container is not None
        owner = look.clean(server.container.owner, 60) if server.container.managed else ""
        notes.append(f"not ours: {owner}" if owner else "not ours")
    if not notes and launch is not None and launch.explanation:
        notes.append(look.clean(launch.explanation, 300))
    return look.joined(notes)


def _step(launch: Launch, look: Look) -> str:
    step = look.clean(launch.step, 200)
    if launch.done is None or not launch.total:
        return step
    return f"{step} ({count(launch.done)} of {count(launch.total)})"


def _unwell(snapshot: Snapshot, server: Server, look: Look) -> str:
    if server.state is ServerState.READY:
        return ""
    launch, container = server.launch, server.container
    if launch is not None and launch.restart_in_s is not None:
        why = look.clean(launch.explanation, 300)
        return f"starts again in {age_s(launch.restart_in_s)}" + (f": {why}" if why else "")
    if launch is not None and launch.explanation:
        return look.clean(launch.explanation, 300)
    if container is not None and not container.runs:
        return _ended(container, snapshot.at, look)
    return _not_answering(server, container, look)


def _ended(container: Container, now: float, look: Look) -> str:
    if container.finished_at is None:
        return f"its container is {look.clean(container.status, 20) or 'not running'}"
    code = "" if container.exit_code is None else f" with exit code {container.exit_code}"
    return f"ended {age_s(max(0.0, now - container.finished_at))} ago{code}"


def _not_answering(server: Server, container: Container | None, look: Look) -> str:
    if container is not None and container.status == "paused":
        return "its container is paused: docker unpause lets it go on"
    if server.state is ServerState.NOT_READY:
        return f"it answers and is not ready{_models_not_ready(server)}"
    fault = next((source.fault for source in server.sources if source.fault is not None), None)
    said = "" if fault is None else look.clean(fault.sentence, 300)
    runs = "its container runs, Triton does not answer" if container is not None else ""
    return ": ".join(part for part in (runs, said) if part)


def _models_not_ready(server: Server) -> str:
    parts = []
    for state, word in ((ModelState.FAILED, "failed"), (ModelState.LOADING, "loading")):
        many = len({model.name for model in server.models if model.state is state})
        if many:
            parts.append(f"{many} model{'s' if many > 1 else ''} {word}")
    return f": {', '.join(parts)}" if parts else ""
