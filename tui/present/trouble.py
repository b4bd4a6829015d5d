"""The panel of a server that is starting, gone or wrong: what happens, why, and what to do."""

from __future__ import annotations

from tritop.model import Fault, ImageLayer, Launch, Server, ServerState, Snapshot
from tui.draw import bar
from tui.format import age_s, bytes_iec, count
from tui.present.lines import wrapped
from tui.present.look import SERVER_TONES, Look
from tui.widgets.lines import Line

__all__ = ["in_trouble", "table_empty_text", "trouble_lines"]

_ADVICE = {
    ServerState.UNREACHABLE: "It is tried again by itself; ^R tries at once.",
    ServerState.UNRESPONSIVE: "It is tried again by itself; the numbers shown are the last ones it gave.",
    ServerState.NOT_TRITON: "Check the address; nothing but Triton's gRPC port is of use here.",
    ServerState.STOPPED: "It was stopped; nothing is tried.",
    ServerState.FAILED: "It is not started again by itself.",
}

_SAID = {
    ServerState.CONNECTING: "is being asked for the first time",
    ServerState.STARTING: "is starting",
    ServerState.NOT_READY: "is up and not ready",
    ServerState.UNRESPONSIVE: "takes connections and does not answer",
    ServerState.UNREACHABLE: "cannot be reached",
    ServerState.NOT_TRITON: "is not a Triton server",
    ServerState.STOPPING: "is stopping",
    ServerState.STOPPED: "is stopped",
    ServerState.CRASHED: "ended by itself",
    ServerState.FAILED: "could not be started",
}


def in_trouble(server: Server) -> bool:
    """Whether a server needs its panel: it is neither ready nor only busy loading a model."""
    if server.state is ServerState.READY:
        return False
    return server.state is not ServerState.NOT_READY or not server.models


def troubled(snapshot: Snapshot, selected: Server | None) -> Server | None:
    """The server whose panel is shown: the selected one, or the only one that has no rows."""
    if selected is not None:
        return selected if in_trouble(selected) else None
    return next((server for server in snapshot.servers if in_trouble(server)), None)


def trouble_lines(server: Server, now: float, width: int, look: Look, height: int = 200) -> list[Line]:
    """The panel, the most important first; the end of the log fills what is left.

    Args:
        server: the server in trouble.
        now: wall time of the Snapshot [s since the epoch].
        width: cells to wrap at.
        look: characters to draw with.
        height: lines that there are.
    """
    tone = SERVER_TONES.get(server.state, "error")
    sign = look.glyphs.of_server(server.state)
    where = look.clean(server.endpoint, 80)
    said = _SAID.get(server.state, "")
    lines: list[Line] = [((f"{sign} {look.clean(server.name, 60)} {said}", tone), (f"  {where}", "dim"))]
    launch = server.launch
    if launch is not None:
        starting = server.state in (ServerState.CONNECTING, ServerState.STARTING, ServerState.NOT_READY)
        lines += _launch_lines(launch, starting, width, look)
    if launch is None or server.state in (ServerState.UNREACHABLE, ServerState.UNRESPONSIVE, ServerState.NOT_TRITON):
        lines += _fault_lines(server, now, width, look)
    advice = _ADVICE.get(server.state, "")
    if advice and launch is None:
        lines += wrapped(advice, width, "dim")
    if launch is not None:
        room = height - len(lines)
        lines += _layer_lines(launch, room, look) if launch.layers else _log_lines(launch, room, look)
    return lines


def _launch_lines(launch: Launch, starting: bool, width: int, look: Look) -> list[Line]:
    lines: list[Line] = []
    if launch.explanation:
        lines += wrapped(look.clean(launch.explanation, 600), width)
    facts = []
    if launch.exit_code is not None:
        facts.append(f"exit code {launch.exit_code}")
    if launch.restarts:
        facts.append(f"restarted {launch.restarts} times" if launch.restarts > 1 else "restarted once")
    if launch.restart_in_s is not None:
        facts.append(f"next start in {age_s(launch.restart_in_s)}")
    if facts:
        lines.append(((look.joined(facts), ""),))
    if starting and (launch.step or launch.total):
        lines.append(step_line(launch, look))
    return lines


def step_line(launch: Launch, look: Look) -> Line:
    """How far a start is: a gauge, `2 of 5`, and what is being done."""
    step = look.clean(launch.step, 80) or look.clean(launch.state, 20)
    if launch.done is None or not launch.total:
        return ((step, ""),)
    signs = look.glyphs
    gauge = f"{signs.bar_left}{bar(launch.done / launch.total, 20, ascii=look.ascii)}{signs.bar_right}"
    return ((f"{gauge} {count(launch.done)} of {count(launch.total)}  ", "accent"), (step, ""))


def _fault_lines(server: Server, now: float, width: int, look: Look) -> list[Line]:
    """Every different fault once, with the sources that it concerns."""
    lines: list[Line] = []
    seen: dict[str, tuple[Fault, list[str]]] = {}
    for source in server.sources:
        if source.fault is not None:
            seen.setdefault(source.fault.sentence, (source.fault, []))[1].append(source.name)
    for fault, names in seen.values():
        said = look.clean(fault.sentence, 400)
        lines += wrapped(f"{', '.join(names)}: {said}", width)
        if fault.advice:
            lines += wrapped(look.clean(fault.advice, 400), width, "accent")
        tries = f"{count(fault.attempts)} tries" if fault.attempts != 1 else "1 try"
        lines.append(((f"since {age_s(max(0.0, now - fault.since))}, {tries}", "dim"),))
    return lines


def _layer_lines(launch: Launch, room: int, look: Look) -> list[Line]:
    """The layers that are not here yet, those under way first."""
    open_ones = [layer for layer in launch.layers if not layer.complete]
    open_ones.sort(key=lambda layer: layer.total_bytes is None)
    shown = open_ones[: max(0, room if len(open_ones) <= room else room - 1)]
    lines = [_layer_line(layer, look) for layer in shown]
    left = len(open_ones) - len(shown)
    return [*lines, ((f"  and {count(left)} more", "dim"),)] if left and room > 0 else lines


def _layer_line(layer: ImageLayer, look: Look) -> Line:
    named = f"  {look.clean(layer.id, 12):<12} "
    status = f"{look.clean(layer.status, 20):<20}"
    if not layer.total_bytes:
        return ((named, "dim"), (status, "dim"))
    signs = look.glyphs
    ratio = min(1.0, layer.done_bytes / layer.total_bytes)
    gauge = f"{signs.bar_left}{bar(ratio, 20, ascii=look.ascii)}{signs.bar_right}"
    amount = f" {bytes_iec(layer.done_bytes)} of {bytes_iec(layer.total_bytes)}"
    return ((named, "dim"), (status, ""), (gauge, "accent"), (amount, ""))


def _log_lines(launch: Launch, room: int, look: Look) -> list[Line]:
    tail = [look.clean(line.rstrip(), 400) for line in launch.log_tail if line.strip()]
    tail = tail[max(0, len(tail) - room + 1) :]
    if not tail or room < 2:
        return []
    head = f"last lines of its log  {look.clean(launch.log_path, 200)}".rstrip()
    return [((head, "dim"),), *(((f"  {line}", "dim"),) for line in tail)]


def table_empty_text(snapshot: Snapshot, needle: str) -> str:
    """What the table says where it has no rows."""
    if needle:
        return f"no row holds {needle!r}; Esc takes the filter away"
    if not snapshot.servers:
        return "waiting for the first reading"
    server = snapshot.servers[0]
    if server.state is ServerState.READY:
        return "The server is ready and its repository holds no models."
    return ""
