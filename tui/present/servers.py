"""The table of servers: what Triton says of each, joined with what the engine says of its container."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tritop.model import Server, ServerState, Snapshot, SourceState
from tui.format import UNKNOWN, age_s, bytes_iec, count, rate
from tui.present.filtering import Order, SortValue
from tui.present.look import SERVER_TONES, Look
from tui.present.server_words import (
    cpu_cores,
    exit_code,
    image_text,
    memory_used_bytes,
    ports_text,
    restarts,
    runs_on,
    server_why,
    up_s,
)
from tui.situation import Place
from tui.widgets.line_table import Column, Row
from tui.widgets.lines import Line

__all__ = [
    "SERVER_FALLING_FIRST", "SERVER_SORT_VALUES", "engine_lines", "keep_servers", "ordered_servers", "server_columns",
    "server_rows", "servers_empty_text", "shown_first",
]  # fmt: skip

_COLUMNS = (
    Column("server", "SERVER", 8, right=False),
    Column("state", "STATE", 8, right=False),
    Column("on", "ON", 8, right=False, priority=7),
    Column("up", "UP", 6, priority=2),
    Column("restarts", "RST", 3, priority=5),
    Column("exit", "EXIT", 4, priority=4),
    Column("requests", "REQ/s", 6, priority=6),
    Column("cpu", "CPU", 4, priority=3),
    Column("memory", "MEMORY", 8, priority=3),
    Column("limit", "LIMIT", 8, priority=8),
    Column("received", "IN/s", 8, priority=9),
    Column("sent", "OUT/s", 8, priority=9),
    Column("gpus", "GPUS", 4, right=False, priority=10),
    Column("ports", "PORTS", 11, right=False, priority=5),
    Column("image", "IMAGE", 12, right=False, priority=8),
    Column("why", "WHY", 18, right=False, priority=1, flex=True),
)
SERVER_WIDTH_MOST = 28
IMAGE_WIDTH_MOST = 24
PORTS_WIDTH_MOST = 19
GPUS_WIDTH_MOST = 8


def server_columns(snapshot: Snapshot, look: Look, width: int) -> tuple[Column, ...]:
    """The columns, wide enough for what they hold now; one that no server has anything for is left out.

    Args:
        snapshot: what is shown.
        look: characters to draw with.
        width: cells of the terminal; bounds the column of names.
    """
    servers = snapshot.servers
    containers = [server.container for server in servers if server.container is not None]
    states = [str(server.state) for server in servers]
    gpus = [look.clean(container.gpus, GPUS_WIDTH_MOST) for container in containers]
    widths = {
        "server": _between(8, min(SERVER_WIDTH_MOST, width // 5), (server.name for server in servers)),
        "state": 2 + _between(6, 12, states),
        "on": _between(2, 8, (runs_on(server) for server in servers)),
        "ports": _between(5, PORTS_WIDTH_MOST, (ports_text(container) for container in containers)),
        "image": _between(5, IMAGE_WIDTH_MOST, (image_text(container.image) for container in containers)),
        "gpus": _between(4, GPUS_WIDTH_MOST, gpus),
    }
    hidden = set()
    if not containers:
        hidden = {"limit", "received", "sent", "ports", "image", "gpus"}
    if not containers and all(server.launch is None for server in servers):
        hidden |= {"up", "cpu", "memory"}
    if not any(gpus):
        hidden.add("gpus")
    if all(container.memory_limit_bytes is None for container in containers):
        hidden.add("limit")
    if all(restarts(server) is None for server in servers):
        hidden.add("restarts")
    if all(exit_code(server) is None for server in servers):
        hidden.add("exit")
    return tuple(
        replace(column, width=widths.get(column.key, column.width)) for column in _COLUMNS if column.key not in hidden
    )


def _between(least: int, most: int, texts: Iterable[str]) -> int:
    return max(least, min(most, max((len(text) for text in texts), default=0)))


def server_rows(servers: Sequence[Server], columns: Sequence[Column], snapshot: Snapshot, look: Look) -> list[Row]:
    """One row for each server, cells in the order of `columns`."""
    return [_row(server, columns, snapshot, look) for server in servers]


def _row(server: Server, columns: Sequence[Column], snapshot: Snapshot, look: Look) -> Row:
    container = server.container
    cells: dict[str, str] = {
        "server": look.clean(server.name, 80) or UNKNOWN,
        "state": f"{look.glyphs.of_server(server.state)} {str(server.state).replace('_', ' ')}",
        "on": runs_on(server),
        "up": age_s(up_s(server, snapshot.at)),
        "restarts": count(restarts(server)),
        "exit": count(exit_code(server)),
        "requests": rate(requests_per_s(server)),
        "cpu": cores(cpu_cores(server)),
        "memory": bytes_iec(memory_used_bytes(server)),
        "why": server_why(snapshot, server, look),
    }
    if container is not None:
        cells |= {
            "limit": bytes_iec(container.memory_limit_bytes) if container.memory_limit_bytes is not None else "none",
            "received": bytes_iec(container.received_bytes_per_s),
            "sent": bytes_iec(container.sent_bytes_per_s),
            "gpus": look.clean(container.gpus, 40) or "none",
            "ports": look.clean(ports_text(container), 60) or "none",
            "image": look.clean(image_text(container.image), 80) or UNKNOWN,
        }
    tone = SERVER_TONES.get(server.state, "error")
    accents = [("state", tone)]
    if server.state is not ServerState.READY:
        accents.append(("why", tone if tone == "error" else ""))
    if exit_code(server):
        accents.append(("exit", "error"))
    if _memory_ratio(server) is not None:
        accents.append(("memory", look.tone_above(_memory_ratio(server), look.thresholds.gpu_memory_ratio)))
    dim = "dim" if server.state is ServerState.STOPPED else ""
    return Row(server.name, tuple(cells.get(column.key, UNKNOWN) for column in columns), dim, tuple(accents))


def cores(number: float | None) -> str:
    """CPU time over wall time: `0.03`, `1.2`, `14.0`; 1.0 is one core."""
    if number is None:
        return UNKNOWN
    return f"{number:.2f}" if number < 0.995 else f"{number:.1f}"


def requests_per_s(server: Server) -> float | None:
    """What goes through it now, all models together; `None` where none is known."""
    rates = [model.requests_per_s for model in server.models if model.requests_per_s is not None]
    return sum(rates) if rates else None


def _memory_ratio(server: Server) -> float | None:
    container = server.container
    if container is None or container.memory_used_bytes is None or not container.memory_limit_bytes:
        return None
    return container.memory_used_bytes / container.memory_limit_bytes


# -- which rows, and in which order -----------------------------------------------------------

_STATE_RANK = {state: rank for rank, state in enumerate((
    ServerState.FAILED, ServerState.CRASHED, ServerState.UNRESPONSIVE, ServerState.UNREACHABLE, ServerState.NOT_TRITON,
    ServerState.NOT_READY, ServerState.CONNECTING, ServerState.STARTING, ServerState.STOPPING, ServerState.READY,
    ServerState.STOPPED,
))}  # fmt: skip
"""Trouble first."""

SERVER_SORT_VALUES: dict[str, Callable[[Server, float], SortValue]] = {
    "server": lambda server, now: server.name.casefold(),
    "state": lambda server, now: _STATE_RANK.get(server.state),
    "on": lambda server, now: runs_on(server),
    "up": up_s,
    "restarts": lambda server, now: restarts(server),
    "exit": lambda server, now: exit_code(server),
    "requests": lambda server, now: requests_per_s(server),
    "cpu": lambda server, now: cpu_cores(server),
    "memory": lambda server, now: memory_used_bytes(server),
    "limit": lambda server, now: server.container.memory_limit_bytes if server.container is not None else None,
    "received": lambda server, now: server.container.received_bytes_per_s if server.container is not None else None,
    "sent": lambda server, now: server.container.sent_bytes_per_s if server.container is not None else None,
    "image": lambda server, now: image_text(server.container.image) if server.container is not None else None,
}
"""Columns that can sort, and by what."""

SERVER_FALLING_FIRST = frozenset({"up", "restarts", "requests", "cpu", "memory", "limit", "received", "sent"})


def keep_servers(servers: Iterable[Server], needle: str) -> list[Server]:
    """Servers whose name, state, place, image, container or owner hold `needle`, whatever its case; `!` inverts."""
    inverse = needle.startswith("!")
    wanted = needle.removeprefix("!").strip().casefold()
    if not wanted:
        return list(servers)
    return [server for server in servers if (wanted in _haystack(server)) != inverse]


def _haystack(server: Server) -> str:
    container = server.container
    more = "" if container is None else f" {container.name} {container.image} {container.owner} {container.status}"
    return f"{server.name} {server.endpoint} {server.state} {runs_on(server)}{more}".casefold()


def ordered_servers(servers: Sequence[Server], order: Order, now: float) -> list[Server]:
    """Sort stably; what is unknown comes last in both directions."""
    value_of = SERVER_SORT_VALUES.get(order.column)
    if value_of is None:
        return list(servers)
    valued = [(value_of(server, now), server) for server in servers]
    known = sorted(
        ((value, server) for value, server in valued if value is not None),
        key=lambda pair: pair[0],
        reverse=order.descending,
    )
    return [server for _, server in known] + [server for value, server in valued if value is None]


# -- around the table ---------------------------------------------------------------------------


def engine_lines(snapshot: Snapshot, look: Look) -> list[Line]:
    """What is wrong with the engine, and how old what it said is; nothing while all is well."""
    engine = snapshot.engine
    if engine is None or engine.fault is None:
        return []
    fault = engine.fault
    lasting = f"for {age_s(max(0.0, snapshot.at - fault.since))}"
    if engine.state is SourceState.OFF:
        said = look.clean(f"{fault.sentence} {fault.advice}".strip(), 300)
        return [((f"{look.glyphs.unloaded} {look.clean(engine.name, 20)}: {said}", "dim"),)]
    age = f"; what is shown of containers is {age_s(engine.age_s)} old" if engine.age_s is not None else ""
    said = look.clean(f"{fault.sentence} {fault.advice}".strip(), 300)
    title = look.clean(fault.title, 40)
    return [((f"{look.glyphs.stale} {look.clean(engine.name, 20)} {title} {lasting}{age}. {said}", "warn"),)]


def servers_empty_text(snapshot: Snapshot, needle: str) -> str:
    """What the table says where it has no rows."""
    if needle and snapshot.servers:
        return f"no server holds {needle!r}; Esc takes the filter away"
    if snapshot.seq == 0:
        return "waiting for the first reading"
    return "No Triton server is known here: n launches one in a container."


def shown_first(snapshot: Snapshot) -> Place | None:
    """The view to begin with, `None` while it is too early to say.

    The overview is about models. Where there are none, and not just one server whose trouble the
    overview tells in full, the servers themselves say more.
    """
    if snapshot.seq == 0 or any(server.state is ServerState.CONNECTING for server in snapshot.servers):
        return None
    if any(server.models for server in snapshot.servers) or len(snapshot.servers) == 1:
        return Place.OVERVIEW
    return Place.SERVERS if snapshot.servers or snapshot.engine is not None else None
