"""What `tests.tui.samples` turns a live server into: every state that a screen has to say in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from tritop.model import Fault, ModelVersion, Server, ServerState, Source, SourceState

Condition = Literal[
    "live", "first", "stale", "unreachable", "hanging", "not triton", "metrics off", "starting", "crashed", "empty"
]
"""What state a server is in."""


def in_condition(server: Server, condition: Condition, now: float, seq: int) -> Server:
    """Change a live server to what it is in another condition, which has lasted for `seq` seconds."""
    return _CONDITIONS[condition](server, now, seq)


def _live(server: Server, now: float, seq: int) -> Server:
    return server


def _first(server: Server, now: float, seq: int) -> Server:
    """The first reading: states and configurations, and no difference of two counters."""
    rows = tuple(
        ModelVersion(row.name, row.version, row.state, row.reason, row.config, pending=row.pending)
        for row in server.models
    )
    return replace(server, models=rows, cpu_ratio=None, custom=())


def _stale(server: Server, now: float, seq: int) -> Server:
    rows = tuple(replace(row, age_s=12.4) for row in server.models)
    fault = Fault(
        "no answer",
        "127.0.0.1:8002 accepted the connection and then said nothing for 2.0 s.",
        "Is the server overloaded or stopped in a debugger?",
        since=now - 12.4,
        attempts=4,
    )
    sources = (Source("api", SourceState.STALE, 12.4, fault), Source("metrics", SourceState.STALE, 12.4, fault))
    return replace(server, state=ServerState.UNRESPONSIVE, models=rows, sources=sources, ready=None)


def _hanging(server: Server, now: float, seq: int) -> Server:
    sentence = "127.0.0.1:8001 accepted the connection and then said nothing for 2.0 s."
    fault = Fault("no answer", sentence, "Is it a Triton gRPC port?", since=now - seq, attempts=seq)
    return _never_read(server, ServerState.UNRESPONSIVE, fault)


def _unreachable(server: Server, now: float, seq: int) -> Server:
    advice = "Is the server running, and is 8001 its gRPC port?"
    fault = Fault("unreachable", "127.0.0.1:8001 refuses connections.", advice, since=now - seq, attempts=seq)
    return _never_read(server, ServerState.UNREACHABLE, fault)


def _not_triton(server: Server, now: float, seq: int) -> Server:
    sentence = "127.0.0.1:8001 speaks HTTP and is no Triton gRPC port."
    fault = Fault("not Triton", sentence, "Give the gRPC port, usually 8001.", since=now - seq, attempts=seq)
    return _never_read(server, ServerState.NOT_TRITON, fault)


def _metrics_off(server: Server, now: float, seq: int) -> Server:
    sentence = "The server was started with --allow-metrics=false."
    fault = Fault("off", sentence, "Request rates come from its statistics.", since=now - seq)
    metrics = Source("metrics", SourceState.OFF, None, fault)
    return replace(server, sources=(server.sources[0], metrics), cpu_ratio=None, metrics_endpoint="")


def _starting(server: Server, now: float, seq: int) -> Server:
    assert server.launch is not None
    total = max(3, len(server.models))
    launch = replace(server.launch, state="STARTING", step="loading matrix", done=2, total=total)
    return replace(_nothing_read(server), state=ServerState.STARTING, launch=launch)


def _crashed(server: Server, now: float, seq: int) -> Server:
    assert server.launch is not None
    launch = replace(
        server.launch,
        state="BACKOFF",
        restarts=2,
        exit_code=139,
        pid=None,
        restart_in_s=4.0,
        explanation="The server was ended by signal 11 (segmentation fault).",
        log_tail=(*server.launch.log_tail, "Signal (11) received.", "0# 0x000055D0 in bin/tritonserver"),
    )
    return replace(_nothing_read(server), state=ServerState.CRASHED, launch=launch)


def _empty(server: Server, now: float, seq: int) -> Server:
    return replace(server, models=(), custom=())


def _nothing_read(server: Server) -> Server:
    waiting = (Source("api", SourceState.WAITING), Source("metrics", SourceState.WAITING))
    return Server(server.name, server.endpoint, sources=waiting, metrics_endpoint=server.metrics_endpoint)


def _never_read(server: Server, state: ServerState, fault: Fault) -> Server:
    sources = (Source("api", SourceState.FAULT, None, fault), Source("metrics", SourceState.FAULT, None, fault))
    return replace(_nothing_read(server), state=state, sources=sources)


_CONDITIONS: dict[Condition, Callable[[Server, float, int], Server]] = {
    "live": _live,
    "first": _first,
    "stale": _stale,
    "unreachable": _unreachable,
    "hanging": _hanging,
    "not triton": _not_triton,
    "metrics off": _metrics_off,
    "starting": _starting,
    "crashed": _crashed,
    "empty": _empty,
}
