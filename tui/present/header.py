"""The lines on top: who is watched, how it is, how old the numbers are, and the GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from tritop.model import RUNTIME_SOURCE, ModelState, Server, ServerState, Snapshot
from tui.format import age_s, clock, fit
from tui.present.gpus import gpu_lines
from tui.present.lines import Piece, one_line
from tui.present.look import SERVER_TONES, Look
from tui.widgets.lines import Line

__all__ = ["Heading", "header_lines", "server_at", "servers_heading"]

SERVER_LINES_MOST = 4


@dataclass(frozen=True, slots=True)
class Heading:
    """What the header says besides the Snapshot."""

    title: str = ""
    paused_s: float | None = None
    """Age of the held picture while it is held."""
    silent_s: float = 0.0
    """Time since the last Snapshot came."""
    read_only: bool = False
    coarse_clock: bool = False
    """The clock without its seconds, which saves a painted line each second on a slow link."""


def data_age_s(server: Server) -> float | None:
    """Age of the newest good answer of a server, `None` where there was none.

    What its runtime says is always new, and says nothing about the age of the numbers.
    """
    said = [source.age_s for source in server.sources if source.name != RUNTIME_SOURCE]
    return min((age for age in said if age is not None), default=None)


def header_lines(snapshot: Snapshot, heading: Heading, width: int, look: Look) -> list[Line]:
    """One line for each server up to four, then one for the rest, then one for each GPU."""
    servers = snapshot.servers
    if not servers:
        title = Piece(f"tritop {look.glyphs.cursor} {look.clean(heading.title, 40)}".rstrip(), "title")
        return [one_line([title, Piece("waiting for the first reading", "dim", 1)], [], width)]
    lines: list[Line] = []
    shown = servers if len(servers) <= SERVER_LINES_MOST else servers[: SERVER_LINES_MOST - 1]
    for number, server in enumerate(shown):
        lines.append(_server_line(snapshot, server, number, width, look=look, heading=heading))
    if len(shown) < len(servers):
        lines.append(_rest_line(servers[len(shown) :], look))
    return lines + gpu_lines(snapshot, width, look)


def servers_heading(snapshot: Snapshot, heading: Heading, width: int, look: Look) -> Line:
    """One line for a screen that tells of each server below: how many are in which state."""
    many = len(snapshot.servers)
    pieces = [
        Piece(f"tritop {look.glyphs.cursor}", "dim", 7),
        Piece(f"{many} server{'s' if many != 1 else ''}", "title", joined=True),
    ]
    for state, number in _by_state(snapshot.servers).items():
        text = f"{look.glyphs.of_server(state)} {number} {str(state).replace('_', ' ')}"
        pieces.append(Piece(text, SERVER_TONES.get(state, "error"), 2))
    pieces.append(Piece("read-only" if heading.read_only else "", "warn", 3))
    return one_line(pieces, _right_end(snapshot, heading, look), width)


def _by_state(servers: tuple[Server, ...]) -> dict[ServerState, int]:
    states: dict[ServerState, int] = {}
    for server in servers:
        states[server.state] = states.get(server.state, 0) + 1
    return states


def server_at(snapshot: Snapshot, line: int) -> Server | None:
    """The server that a line of the header is about, `None` for the lines below the servers."""
    servers = snapshot.servers
    lines = len(servers) if len(servers) <= SERVER_LINES_MOST else SERVER_LINES_MOST - 1
    return servers[line] if 0 <= line < lines else None


def _server_line(snapshot: Snapshot, server: Server, number: int, width: int, *, look: Look, heading: Heading) -> Line:
    first = number == 0
    signs = look.glyphs
    state_tone = SERVER_TONES.get(server.state, "error")
    age = data_age_s(server)
    stale = age is not None and age > 3 * snapshot.interval_s
    name = look.clean(server.name, 40)
    title = look.clean(heading.title, 30)
    shown = f"{title}: {name}" if first and title and title != name and len(snapshot.servers) == 1 else name
    shown = (
        fit(shown, min(30, max(len(other.name) for other in snapshot.servers))) if len(snapshot.servers) > 1 else shown
    )
    word = str(server.state).replace("_", " ")
    left = [
        Piece(f"tritop {signs.cursor}" if first else " " * 8, "dim", 7),
        Piece(shown, "title", joined=True),
        Piece(f"{signs.of_server(server.state)} {word}", state_tone),
        Piece(models_text(server), "", 4),
        Piece(f"triton {look.clean(server.version, 16)}" if server.version else "", "", 6),
        Piece(str(server.control_mode) if server.version else "", "dim", 9),
        Piece("read-only" if server.read_only or heading.read_only else "", "warn", 5),
        Piece(_age_text(snapshot, age, first, look), "warn" if stale else "dim", 2 if stale else 8),
    ]
    return one_line(left, _right_end(snapshot, heading, look) if first else [], width)


def _age_text(snapshot: Snapshot, age: float | None, first: bool, look: Look) -> str:
    every = f"every {snapshot.interval_s:g} s" if first else ""
    read = f"read {age_s(age)} ago" if age is not None else "not read yet"
    return look.joined((every, read))


def _right_end(snapshot: Snapshot, heading: Heading, look: Look) -> list[Piece]:
    pieces: list[Piece] = []
    if heading.silent_s > max(3.0, 3 * snapshot.interval_s):
        pieces.append(Piece(f"nothing new for {age_s(heading.silent_s)}", "error"))
    if heading.paused_s is not None:
        held = f" {age_s(heading.paused_s)} old" if heading.paused_s >= 1 else ""
        pieces.append(Piece(f"{look.glyphs.paused} PAUSED{held}", "accent", 1))
    time = clock(snapshot.at)
    pieces.append(Piece(time[:-3] if heading.coarse_clock else time, "", 3))
    return pieces


def models_text(server: Server) -> str:
    """`5 models`, with those that are loading or failed named."""
    if not server.models:
        return "no models" if server.state is ServerState.READY else ""
    names = {model.name for model in server.models}
    text = f"{len(names)} model{'s' if len(names) != 1 else ''}"
    for state, word in ((ModelState.FAILED, "failed"), (ModelState.LOADING, "loading")):
        number = sum(model.state is state for model in server.models)
        if number:
            text += f", {number} {word}"
    return text


def _rest_line(servers: tuple[Server, ...], look: Look) -> Line:
    states = _by_state(servers)
    spans: list[tuple[str, str]] = [(f"         and {len(servers)} more:", "dim")]
    for state, number in states.items():
        spans.append((f"  {look.glyphs.of_server(state)} {number} {state}", SERVER_TONES.get(state, "error")))
    return tuple(spans)
