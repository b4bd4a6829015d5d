"""What the engine says of a server's container, for the page of the server and below the table of servers."""

from __future__ import annotations

from tritop.model import Container, ModelState, Server, Snapshot
from tui.format import age_s, bytes_iec, clock, count, fit, rate
from tui.present.lines import Piece, Section, bullet, in_columns, rule, wrapped
from tui.present.look import MODEL_TONES, SERVER_TONES, Look
from tui.present.server_words import runs_on, whose
from tui.present.servers import cores
from tui.present.trouble import in_trouble, trouble_lines
from tui.widgets.lines import Line

__all__ = ["about_lines", "container_section", "log_section"]

LABEL = 14
DAY_S = 86_400.0
THREE_COLUMNS = 130
TWO_COLUMNS = 90


def container_section(snapshot: Snapshot, server: Server, width: int, look: Look) -> Section | None:
    """Everything that the engine says of it; `None` where it is in no container that is known."""
    container = server.container
    if container is None:
        return None
    facts = [*_made(container, snapshot.at, look), *_lasting(container, snapshot.at), *_takes(container, look)]
    lines = [line for label, value, tone in facts if value for line in bullet(label, LABEL, value, width, tone)]
    return Section("CONTAINER", tuple(lines), look.clean(container.name, 80))


Fact = tuple[str, str, str]
"""(label, text, tone); one without a text is left out."""


def _made(container: Container, now: float, look: Look) -> list[Fact]:
    made = "by you, with tritop" if container.ours else whose(container, look)
    ports = [look.clean(f"{inside} {look.glyphs.arrow} {outside}", 60) for inside, outside in container.ports]
    return [
        ("status", look.clean(container.status, 20), "" if container.runs else "warn"),
        ("image", look.clean(container.image, 300), ""),
        ("id", look.clean(container.id[:12], 12), "dim"),
        ("made", made, "" if container.ours else "warn"),
        ("created", _when(container.created_at, now), ""),
        ("ports", ", ".join(ports) or "none published", ""),
        ("networks", look.clean(", ".join(container.networks), 200), ""),
        ("GPUs", look.clean(container.gpus, 300) or "none", ""),
    ]  # fmt: skip


def _lasting(container: Container, now: float) -> list[Fact]:
    code = "" if container.exit_code is None or container.runs else str(container.exit_code)
    return [
        ("started", _when(container.started_at, now) if container.runs else "", ""),
        ("ended", _when(container.finished_at, now) if not container.runs else "", "warn"),
        ("exit code", code, "error" if container.exit_code else ""),
        ("by the engine", f"restarted {count(container.engine_restarts)} times" if container.engine_restarts else "",
         "warn"),
    ]  # fmt: skip


def _takes(container: Container, look: Look) -> list[Fact]:
    if not container.runs:
        return []
    limit = "no limit" if container.memory_limit_bytes is None else f"of {bytes_iec(container.memory_limit_bytes)}"
    network = f"{bytes_iec(container.received_bytes_per_s)}/s in, {bytes_iec(container.sent_bytes_per_s)}/s out"
    return [
        ("CPU", f"{cores(container.cpu_cores)} cores", ""),
        ("memory", look.joined((bytes_iec(container.memory_used_bytes), limit))
         if container.memory_limit_bytes is None else f"{bytes_iec(container.memory_used_bytes)} {limit}", ""),
        ("network", network, ""),
        ("processes", count(container.processes), ""),
    ]  # fmt: skip


def _when(at: float | None, now: float) -> str:
    """`08:53:20, 3 min ago`; without the time of day for what is older than a day."""
    if at is None:
        return ""
    ago = f"{age_s(max(0.0, now - at))} ago"
    return ago if now - at >= DAY_S else f"{clock(at)}, {ago}"


def about_lines(snapshot: Snapshot, server: Server, width: int, height: int, look: Look) -> list[Line]:
    """The selected server below the table: what is wrong or done, its container, its models.

    Args:
        snapshot: what is shown.
        server: the selected one.
        width: cells.
        height: lines that there are, the rule included.
        look: characters to draw with.
    """
    many = 3 if width >= THREE_COLUMNS else 2 if width >= TWO_COLUMNS else 1
    cells = width // many
    body = cells - 3 if many > 1 else cells
    trouble = _trouble(snapshot, server, body, height - 2, look)
    container = container_section(snapshot, server, body, look)
    rest = [_models(server, height - 3, look), _command(server, body, look), log_section(server, body, look)]
    groups = {
        3: [[trouble or rest[0]], [container], rest[1:]],
        2: [[trouble or rest[0], *rest[1:]], [container]],
        1: [[trouble], [container], rest],
    }[many]
    columns = [[section for group in groups for section in group]] if many == 1 else groups
    widths = [cells] * (many - 1) + [width - cells * (many - 1)]
    return [_rule(server, width, look), *in_columns(columns, widths, ascii=look.ascii)][:height]


def _rule(server: Server, width: int, look: Look) -> Line:
    tone = SERVER_TONES.get(server.state, "error")
    pieces = [
        Piece(look.clean(server.name, 60), "title"),
        Piece(f"{look.glyphs.of_server(server.state)} {str(server.state).replace('_', ' ')}", tone, 1),
        Piece(runs_on(server), "", 2),
        Piece(look.clean(server.endpoint, 60), "dim", 3),
        Piece(f"triton {look.clean(server.version, 16)}" if server.version else "", "dim", 4),
    ]
    return rule([piece for piece in pieces if piece.text], width, look.glyphs.horizontal, look.glyphs.separator)


def _trouble(snapshot: Snapshot, server: Server, width: int, height: int, look: Look) -> Section | None:
    if not in_trouble(server):
        return None
    return Section("NOW", tuple(trouble_lines(server, snapshot.at, width, look, max(3, height))))


def _models(server: Server, most: int, look: Look) -> Section | None:
    if not server.models:
        return None
    lines: list[Line] = []
    for model in server.models[: max(1, most)]:
        name = fit(look.clean(f"{model.name} {model.version}".strip(), 60), 24, ascii=look.ascii)
        text = f"{look.glyphs.of_model(model.state)} {name}"
        said = f" {rate(model.requests_per_s)} requests/s" if model.state is ModelState.READY else f" {model.state}"
        lines.append(((text, MODEL_TONES.get(model.state, "")), (said, "dim")))
    return Section("MODELS", tuple(lines), "requests that succeed")


def _command(server: Server, width: int, look: Look) -> Section | None:
    if server.launch is None or not server.launch.command:
        return None
    return Section(
        "COMMAND", tuple(bullet("", 0, look.clean(server.launch.command, 4000), width, "dim")), "c copies it"
    )


def log_section(server: Server, width: int, look: Look) -> Section | None:
    """The newest lines that a server of ours has logged."""
    if server.launch is None or not server.launch.log_tail:
        return None
    lines = [line for text in server.launch.log_tail for line in wrapped(look.clean(text.rstrip(), 600), width, "dim")]
    return Section("LAST LINES OF ITS LOG", tuple(lines))
