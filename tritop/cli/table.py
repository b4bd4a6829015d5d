"""The tables of `--once` and `models`: one block for each server, aligned, at home in a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from tritop.cli.text import aligned, microseconds, number, printable, rate, ratio
from tritop.model import ModelVersion, Scheduling, Server, Snapshot, SourceState

RATES_HEADING = (
    ("MODEL", False),
    ("VER", True),
    ("STATE", False),
    ("REQ/s", True),
    ("FAIL/s", True),
    ("BATCH", True),
    ("QUEUE", True),
    ("COMPUTE", True),
    ("P99", True),
    ("PEND", True),
    ("BUSY", True),
    ("WHY", False),
)
MODELS_HEADING = (
    ("MODEL", False),
    ("VER", True),
    ("STATE", False),
    ("BACKEND", False),
    ("BATCHING", False),
    ("INSTANCES", True),
    ("REASON", False),
)


def rates_table(snapshot: Snapshot) -> str:
    """What the overview shows, with the window of its rates in the heading of each server."""
    blocks = []
    for server in snapshot.servers:
        heading = f"{server_line(server)}, rates over {snapshot.interval_s:g} s"
        blocks.append(_block(server, heading, RATES_HEADING, [_rates_row(model) for model in server.models]))
    return "\n\n".join(blocks)


def models_table(snapshot: Snapshot) -> str:
    """Which models there are, in which state and why."""
    return "\n\n".join(
        _block(server, server_line(server), MODELS_HEADING, [_model_row(model) for model in server.models])
        for server in snapshot.servers
    )


def server_line(server: Server) -> str:
    """Name, address, version, control mode and state of a server."""
    version = f"triton {server.version}" if server.version else "version unknown"
    parts = (server.name, server.endpoint, version, f"control mode {server.control_mode}", server.state.value)
    return "  ".join(printable(part) for part in dict.fromkeys(parts))


def faults_of(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """(sentence, advice) for every source that could not be read and is not simply switched off."""
    for server in snapshot.servers:
        for source in server.sources:
            fault = source.fault
            if fault is not None and source.state is not SourceState.OFF:
                named = server.name in fault.sentence
                yield fault.sentence if named else f"{server.name}: {fault.sentence}", fault.advice


def why(model: ModelVersion) -> str:
    """The verdict on a model with the two strongest of its numbers, or the reason of its state."""
    if model.verdict is None:
        return _first_line(model.reason)
    evidence = ", ".join(f"{name} {value:.3g}" for name, value in model.verdict.evidence[:2])
    words = evidence or _first_line(model.verdict.text or model.reason)
    return f"{model.verdict.kind}: {words}" if words else model.verdict.kind.value


def _first_line(text: str) -> str:
    """The first line with anything in it, harmless, with a mark where more follow; `--json` has them all."""
    lines = [line for line in text.splitlines() if line.strip()]
    return printable(lines[0].strip()) + (" ..." if len(lines) > 1 else "") if lines else ""


def _block(server: Server, heading: str, columns: tuple[tuple[str, bool], ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heading]
    if rows:
        titles, right = zip(*columns, strict=True)
        lines += aligned([titles, *rows], right)
    else:
        lines.append("no models" if server.version else "nothing read")
    return "\n".join(lines)


def _rates_row(model: ModelVersion) -> tuple[str, ...]:
    stages = (model.compute_input_us, model.compute_infer_us, model.compute_output_us)
    known = [stage for stage in stages if stage is not None]
    return (
        printable(model.name),
        printable(model.version),
        model.state.value,
        rate(model.requests_per_s),
        rate(model.failures_per_s),
        number(model.batch_avg, 1),
        microseconds(model.queue_us),
        microseconds(sum(known) if known else None),
        microseconds(model.p99_us),
        number(model.pending),
        ratio(model.busy_ratio),
        why(model),
    )


def _model_row(model: ModelVersion) -> tuple[str, ...]:
    config = model.config
    return (
        printable(model.name),
        printable(model.version),
        model.state.value,
        printable(config.backend or config.platform) if config else "--",
        _batching(model),
        number(config.instances if config else None),
        _first_line(model.reason),
    )


def _batching(model: ModelVersion) -> str:
    config = model.config
    if config is None:
        return "--"
    if config.scheduling is not Scheduling.DYNAMIC_BATCHING:
        return config.scheduling.value
    return f"dynamic, max {config.max_batch_size}, delay {microseconds(config.max_queue_delay_us)}"
