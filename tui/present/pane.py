"""The selected model below the table: its configuration in a line, stages, batch sizes, traffic."""

from __future__ import annotations

from collections.abc import Sequence

from tritop.model import BatchSize, ModelConfig, ModelState, ModelVersion, Origin, Scheduling, Traffic, VerdictKind
from tui.format import UNKNOWN, age_s, count, duration_s, latency_us, percent, rate
from tui.present.lines import Piece, one_line
from tui.present.look import MODEL_TONES, Look
from tui.present.table import compute_us
from tui.present.traffic import runs
from tui.present.verdicts import evidence_text, why_tone
from tui.widgets.bars import Bar
from tui.widgets.lines import Line

__all__ = [
    "batch_bars",
    "batch_title",
    "config_parts",
    "model_title",
    "shows_numbers",
    "stage_bars",
    "stage_total_us",
    "traffic_line",
]

STAGES = (("queue", "queue_us"), ("input", "compute_input_us"), ("infer", "compute_infer_us"),
          ("output", "compute_output_us"))  # fmt: skip
"""Label of a stage and the field that holds its mean time."""


def config_parts(config: ModelConfig | None, look: Look) -> list[str]:
    """A configuration in a few words: `max batch 32`, `delay 1.0ms`, `preferred 4 8 16`, `2 × GPU 0`."""
    if config is None:
        return []
    if config.scheduling is Scheduling.ENSEMBLE:
        arrow = f" {look.glyphs.arrow} "
        return [f"ensemble {arrow.join(look.clean(step, 24) for step in config.ensemble_steps)}"]
    parts = [f"max batch {config.max_batch_size}" if config.max_batch_size else "no batching"]
    if config.scheduling is Scheduling.DYNAMIC_BATCHING:
        parts.append(f"dynamic, delay {latency_us(config.max_queue_delay_us)}")
        if config.preferred_batch_sizes:
            parts.append(f"preferred {' '.join(str(size) for size in config.preferred_batch_sizes)}")
    elif config.max_batch_size:
        parts.append("batching off" if config.scheduling is Scheduling.NONE else str(config.scheduling))
    if config.max_queue_size:
        parts.append(f"queue of {config.max_queue_size}")
    parts += [instance_text(config, look)]
    parts.append(look.clean(config.backend or config.platform, 24))
    return parts


def instance_text(config: ModelConfig, look: Look) -> str:
    """Where a model runs: `2 × GPU 0`, `1 × CPU`."""
    places = []
    for group in config.instance_groups:
        kind = look.clean(group.kind.removeprefix("KIND_"), 12)
        gpus = " " + ",".join(str(gpu) for gpu in group.gpus) if group.gpus else ""
        places.append(f"{group.count} {look.glyphs.times} {kind}{gpus}")
    return ", ".join(places)


def model_title(model: ModelVersion, look: Look, server: str = "") -> list[Piece]:
    """The pieces of the rule above a model."""
    name = f"{look.clean(model.name, 64)} {look.clean(model.version, 12)}".strip()
    if server:
        name = f"{look.clean(server, 24)} {look.glyphs.cursor} {name}"
    pieces = [Piece(name, "title")]
    if model.state is not ModelState.READY:
        pieces.append(Piece(f"{look.glyphs.of_model(model.state)} {model.state}", MODEL_TONES.get(model.state, ""), 1))
    if model.age_s is not None:
        pieces.append(Piece(f"{look.glyphs.stale} numbers {age_s(model.age_s)} old", "warn", 2))
    if model.verdict is not None:
        pieces.append(Piece(str(model.verdict.kind), why_tone(model.verdict), 3))
    ranks = iter(range(4, 20))
    return pieces + [Piece(part, "dim", next(ranks)) for part in config_parts(model.config, look) if part]


def stage_total_us(model: ModelVersion) -> float | None:
    """Mean time in the server: its own request time, or the sum of the stages where that is unknown."""
    if model.request_us is not None:
        return model.request_us
    compute = compute_us(model)
    return None if compute is None and model.queue_us is None else (compute or 0.0) + (model.queue_us or 0.0)


def stage_bars(model: ModelVersion, look: Look) -> list[Bar]:
    """Mean time of a request in each stage, with its share."""
    values = [(label, getattr(model, name)) for label, name in STAGES]
    total = sum(us for _, us in values if us is not None)
    bars = []
    for label, us in values:
        share = percent(us / total) if us is not None and total else ""
        tone = look.tone_above(us, look.thresholds.queue_us) if label == "queue" else ""
        if model.verdict is not None and model.verdict.kind is VerdictKind.INPUT and label == "input":
            tone = "warn"
        bars.append(Bar(label, us if us is not None else float("nan"), latency_us(us), tone, share))
    return bars


def shows_numbers(model: ModelVersion) -> bool:
    """Whether there are numbers to draw; a model that is not loaded has only words."""
    return model.state not in (ModelState.FAILED, ModelState.UNLOADED) or model.requests_per_s is not None


def batch_title(model: ModelVersion) -> str:
    """Heading of the batch sizes with the window that they are from."""
    window = f", last {duration_s(model.batch_window_s)}" if model.batch_window_s else ""
    return f"BATCH SIZES{window}"


def batch_bars(model: ModelVersion, most: int) -> list[Bar]:
    """Share of the executions of each batch size, and what one inference costs at it.

    With more sizes than `most`, the rarest are put together with their neighbours below them.
    """
    sizes = _grouped(sorted(model.batch_sizes, key=lambda size: size.size), most)
    return [
        Bar(label, share, percent(share), "", latency_us(cost) if cost is not None else UNKNOWN)
        for label, share, cost in sizes
    ]


def _grouped(sizes: Sequence[BatchSize], most: int) -> list[tuple[str, float, float | None]]:
    groups = [[size] for size in sizes]
    while len(groups) > max(1, most):
        pairs = range(len(groups) - 1)
        least = min(pairs, key=lambda place: sum(size.share for size in (*groups[place], *groups[place + 1])))
        groups[least : least + 2] = [groups[least] + groups[least + 1]]
    merged = []
    for group in groups:
        first, last = group[0].size, group[-1].size
        inferences = [(size.size * size.executions_per_s, size.us_per_inference) for size in group]
        weight = sum(amount for amount, us in inferences if us is not None)
        cost = sum(amount * us for amount, us in inferences if us is not None) / weight if weight else None
        label = str(first) if first == last else f"{first}-{last}"
        merged.append((label, sum(size.share for size in group), cost))
    return merged


def no_batches_reason(model: ModelVersion) -> str:
    """Why there is no batch size to show."""
    if model.config is not None and model.config.scheduling is Scheduling.ENSEMBLE:
        return "an ensemble executes nothing itself"
    if model.state is not ModelState.READY:
        return ""
    if model.batch_window_s is None:
        return "not known yet"
    return f"no execution in the last {duration_s(model.batch_window_s)}"


def traffic_line(model: ModelVersion, traffic: Traffic | None, width: int, look: Look) -> Line:
    """Our traffic in one line: what is sent, and what the client measures beside the server's mean."""
    if traffic is None:
        return ()
    sign = look.glyphs.of_traffic(traffic.state)
    if not runs(traffic):
        if not traffic.fault:
            return ()
        return ((f"{sign} traffic failed: {look.clean(traffic.fault, 300)}", "error"),)
    errors = f"{rate(traffic.errors_per_s)} errors/s" if traffic.errors_per_s else ""
    bound = f"the client is the limit, its CPU {percent(traffic.client_cpu_ratio)}" if traffic.client_bound else ""
    pieces = [
        Piece(f"{sign} traffic {asked_text(traffic, look)}", "accent"),
        Piece(f"{rate(traffic.requests_per_s)}/s"),
        Piece(errors, "error", 1),
        Piece(bound, "warn", 2),
        Piece(f"client p50 {latency_us(traffic.p50_us)} p99 {latency_us(traffic.p99_us)}", "", 3),
        Piece(f"server mean {latency_us(stage_total_us(model))}", "", 4),
        Piece(f"last {age_s(traffic.window_s)}" if traffic.window_s else "", "dim", 5),
    ]
    return one_line(pieces, [], width, gap=3)


def asked_text(traffic: Traffic, look: Look) -> str:
    """What the generator was told to do."""
    if traffic.concurrency is not None:
        return f"{look.glyphs.times}{traffic.concurrency} in flight"
    if traffic.rate_per_s is not None:
        return f"{rate(traffic.rate_per_s)}/s {'Poisson' if traffic.poisson else 'evenly'}"
    return ""


def p99_text(model: ModelVersion) -> str:
    """The p99 with its origin, or "" where nobody knows it."""
    if model.p99_us is None:
        return ""
    origin = model.p99_origin or Origin.MEAN
    return f"p99 {latency_us(model.p99_us)} ({origin})"


def evidence_line(model: ModelVersion, look: Look) -> str:
    """The numbers behind a verdict."""
    if model.verdict is None:
        return ""
    return look.joined(look.clean(evidence_text(*piece), 60) for piece in model.verdict.evidence)


def pending_text(model: ModelVersion) -> str:
    """`31 pending`, or "" where it is unknown."""
    return "" if model.pending is None else f"{count(model.pending)} pending"
