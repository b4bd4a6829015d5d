"""Everything about one model version, in sections."""

from __future__ import annotations

from tritop.model import ModelConfig, ModelState, ModelVersion, Server, Snapshot, TensorSpec, Traffic
from tui.draw import bar
from tui.format import UNKNOWN, age_s, batch, bytes_iec, clock, count, duration_s, fit, latency_us, percent, rate
from tui.present.custom import custom_section
from tui.present.drift import drift_of, drift_section
from tui.present.gpus import gpu_name
from tui.present.lines import Section, bullet, in_columns, wrapped
from tui.present.look import MODEL_TONES, Look
from tui.present.pane import (
    asked_text,
    batch_bars,
    batch_title,
    evidence_line,
    instance_text,
    no_batches_reason,
    p99_text,
    shows_numbers,
    stage_bars,
    stage_total_us,
)
from tui.present.traffic import runs
from tui.present.verdicts import verdict_sentence, why_tone
from tui.widgets.bars import Bar
from tui.widgets.lines import Line

__all__ = ["model_lines", "note_lines"]

LABEL = 14
STAGE_WIDTH = 7
BAR_WIDTH = 16


def model_lines(
    snapshot: Snapshot, server: Server, model: ModelVersion, *, traffic: Traffic | None, width: int, look: Look
) -> list[Line]:
    """The page below the charts: one column, two from 100 cells on, three from 150."""
    columns = 3 if width >= 150 else 2 if width >= 96 else 1
    cells = width // columns
    body = cells - 3 if columns > 1 else cells
    now: list[Section | None] = [
        _state(snapshot, model, body, look),
        _rates(snapshot, model, body, look),
        _failures(model, body, look),
    ]
    time: list[Section | None] = [_stages(model, body, look), _batches(model, body, look), _quantiles(model, body)]
    rest: list[Section | None] = [
        _traffic(model, traffic, body, look),
        _config(model, body, look),
        _tensors(model.config, body, look),
        drift_section(drift_of(snapshot, server.name, model.name), body, look),
        _versions(server, model, body, look),
        _memory(model, body, look),
        custom_section(server, body, look, model.name),
    ]
    groups = [now + time + rest]
    if columns == 2:
        groups = [time + now[2:], now[:2] + rest]
    elif columns == 3:
        groups = [time, now, rest]
    if not shows_numbers(model):
        groups = [now[:1], rest] if columns > 1 else [now[:1] + rest]
        cells = width // len(groups)
    widths = [cells] * (len(groups) - 1) + [width - cells * (len(groups) - 1)]
    return in_columns(groups, widths, ascii=look.ascii)


def note_lines(snapshot: Snapshot, server: Server, model: ModelVersion, *, width: int, look: Look) -> list[Line]:
    """What the overview's pane says besides bars and charts: the reason first, then quantiles or versions."""
    columns = 2 if width >= 90 else 1
    cells = width // columns
    body = cells - 3 if columns > 1 else cells
    left = [_state(snapshot, model, body, look), _failures(model, body, look)]
    right = [
        _quantiles(model, body) if model.quantiles else None,
        _versions(server, model, body, look),
        _config(model, body, look),
    ]
    groups = [left, right] if columns == 2 else [left + right]
    return in_columns(groups, [cells] * columns, ascii=look.ascii)


def _state(snapshot: Snapshot, model: ModelVersion, width: int, look: Look) -> Section | None:
    lines: list[Line] = []
    if model.verdict is not None:
        tone = why_tone(model.verdict)
        lines += wrapped(f"{model.verdict.kind}: {verdict_sentence(model.verdict)}", width, tone)
        lines += wrapped(evidence_line(model, look), width)
    said = [look.clean(line.rstrip(), 2000) for line in model.reason.splitlines() if line.strip()]
    if said:
        lines.append((("the server says:", "dim"),))
        tone = "error" if model.state is ModelState.FAILED else ""
        for line in said:
            lines += wrapped(line, width, tone)
    facts: list[tuple[str, str, str]] = [
        ("state", f"{look.glyphs.of_model(model.state)} {model.state}", MODEL_TONES.get(model.state, "ok")),
    ]
    if model.age_s is not None:
        facts.append(("numbers", f"{age_s(model.age_s)} old", "warn"))
    if model.last_inference_at is not None:
        ago = max(0.0, snapshot.at - model.last_inference_at)
        facts.append(("last inference", f"{clock(model.last_inference_at)}, {age_s(ago)} ago", ""))
    if model.load_duration_s is not None:
        facts.append(("load took", duration_s(model.load_duration_s), ""))
    if model.counters_restarted:
        facts.append(("counters", "restarted in this interval", "warn"))
    for label, value, tone in facts:
        lines += bullet(label, LABEL, value, width, tone)
    return Section("WHY" if model.verdict is not None else "STATE", tuple(lines))


def _rates(snapshot: Snapshot, model: ModelVersion, width: int, look: Look) -> Section:
    facts = [
        ("requests", f"{rate(model.requests_per_s)}/s"),
        ("inferences", f"{rate(model.inferences_per_s)}/s"),
        ("executions", f"{rate(model.executions_per_s)}/s"),
        ("average batch", batch(model.batch_avg)),
        ("pending", count(model.pending)),
        ("busy", f"{percent(model.busy_ratio)} of the instances' time" if model.busy_ratio is not None else UNKNOWN),
    ]
    if model.cache_hit_ratio is not None:
        facts.append(("cache hits", percent(model.cache_hit_ratio)))
    names = {gpu.uuid: gpu_name(gpu, number) for number, gpu in enumerate(snapshot.gpus)}
    for uuid, per_s in model.gpu_requests_per_s:
        facts.append((f"on {names.get(uuid, look.clean(uuid, 11))}", f"{rate(per_s)}/s"))
    lines = [line for label, value in facts for line in bullet(label, LABEL, value, width)]
    return Section("RATES", tuple(lines), "over the last interval")


def _failures(model: ModelVersion, width: int, look: Look) -> Section | None:
    if not model.failures_by_reason and not model.failures_per_s:
        return None
    lines: list[Line] = []
    for reason, per_s in model.failures_by_reason:
        lines += bullet(look.clean(reason, 40), LABEL, f"{rate(per_s)}/s", width, "error")
    if not lines:
        lines += bullet("all reasons", LABEL, f"{rate(model.failures_per_s)}/s", width, "error")
    return Section("FAILURES", tuple(lines), f"{rate(model.failures_per_s)}/s")


def _stages(model: ModelVersion, width: int, look: Look) -> Section:
    bars = stage_bars(model, look)
    most = max((each.value for each in bars if each.value == each.value), default=0.0)
    lines = []
    for each in bars:
        drawn = bar(each.value / most if most else None, BAR_WIDTH, ascii=look.ascii)
        lines.append(_bar_line(fit(each.label, STAGE_WIDTH), each, drawn))
    return Section("WHERE THE TIME GOES", tuple(lines), f"{latency_us(stage_total_us(model))} mean of a request")


def _batches(model: ModelVersion, width: int, look: Look) -> Section:
    bars = batch_bars(model, 16)
    lines: list[Line] = []
    if bars:
        most = max(each.value for each in bars)
        for each in bars:
            drawn = bar(each.value / most if most else None, BAR_WIDTH, ascii=look.ascii)
            lines.append(_bar_line(fit(each.label, STAGE_WIDTH, right=True), each, drawn))
    else:
        lines += wrapped(no_batches_reason(model) or UNKNOWN, width, "dim")
    return Section(batch_title(model), tuple(lines), "share, time per inference" if bars else "")


def _bar_line(label: str, each: Bar, drawn: str) -> Line:
    head = f"{label} {fit(each.text, 7, right=True)} "
    return ((head, each.tone), (drawn, each.tone or "graph"), (f" {each.note:>7}", each.tone))


def _quantiles(model: ModelVersion, width: int) -> Section:
    """A table of stages by quantiles, each with the origin that the server gives."""
    if not model.quantiles:
        text = p99_text(model) or "the server gives none; --metrics-config summary_latencies=true does, at a price"
        return Section("QUANTILES", tuple(wrapped(text, width, "dim")))
    ranks = sorted({quantile.q for quantile in model.quantiles})
    stages: dict[str, dict[float, float]] = {}
    for quantile in model.quantiles:
        stages.setdefault(quantile.stage, {})[quantile.q] = quantile.us
    head = " " * LABEL + "".join(f"{f'p{rank * 100:g}':>8}" for rank in ranks)
    lines: list[Line] = [((head, "dim"),)]
    for stage, values in stages.items():
        cells = "".join(f"{latency_us(values.get(rank)):>8}" for rank in ranks)
        lines.append(((f"{fit(stage.replace('_', ' '), LABEL)}{cells}", ""),))
    origin = str(model.p99_origin) if model.p99_origin is not None else "server"
    return Section("QUANTILES", tuple(lines), origin)


def _traffic(model: ModelVersion, traffic: Traffic | None, width: int, look: Look) -> Section:
    """What our client measures beside the server's own means."""
    if traffic is None or (not runs(traffic) and not traffic.fault):
        hint = "none; b starts it" if model.state is ModelState.READY else "none"
        return Section("OUR TRAFFIC", (((hint, "dim"),),))
    state_tone = "error" if traffic.fault else "ok" if runs(traffic) else "dim"
    lines = bullet("generator", LABEL, f"{look.glyphs.of_traffic(traffic.state)} {traffic.state}", width, state_tone)
    if traffic.fault:
        lines += wrapped(look.clean(traffic.fault, 1000), width, "error")
    facts = [
        ("sends", asked_text(traffic, look)),
        ("answered", f"{rate(traffic.requests_per_s)}/s"),
        ("client p50 p99", f"{latency_us(traffic.p50_us)}  {latency_us(traffic.p99_us)}"),
        ("client p90 max", f"{latency_us(traffic.p90_us)}  {latency_us(traffic.max_us)}"),
        ("server mean", latency_us(stage_total_us(model))),
        ("in flight", count(traffic.in_flight)),
        ("client's CPU", percent(traffic.client_cpu_ratio)),
    ]
    if traffic.late:
        facts.append(("late", f"{count(traffic.late)} sent after their time"))
    for label, value in facts:
        lines += bullet(label, LABEL, value, width)
    if traffic.client_bound:
        lines += wrapped("The client is the limit: the server could do more.", width, "warn")
    for kind, number in traffic.errors_by_kind:
        lines += bullet(count(number), LABEL, look.clean(kind, 300), width, "error")
    window = f"over the last {duration_s(traffic.window_s)}" if traffic.window_s else ""
    return Section("OUR TRAFFIC", tuple(lines), window)


def _config(model: ModelVersion, width: int, look: Look) -> Section:
    config = model.config
    if config is None:
        return Section("CONFIGURATION", ((("not read yet", "dim"),),))
    delay = f"{count(config.max_queue_delay_us)} us"
    preferred = " ".join(str(size) for size in config.preferred_batch_sizes) or "none"
    facts = [
        ("backend", look.joined((look.clean(config.backend, 40), look.clean(config.platform, 40)))),
        ("max batch", str(config.max_batch_size) if config.max_batch_size else "0, no batching"),
        ("scheduling", str(config.scheduling)),
        ("queue delay", delay if config.max_queue_delay_us else ""),
        ("preferred", preferred if config.preferred_batch_sizes else ""),
        ("queue bound", f"{config.max_queue_size} requests" if config.max_queue_size else ""),
        ("instances", instance_text(config, look)),
        ("ensemble", f" {look.glyphs.arrow} ".join(look.clean(step, 60) for step in config.ensemble_steps)),
        ("versions", look.clean(config.version_policy, 60)),
        ("response cache", "on" if config.response_cache else ""),
        ("decoupled", "yes" if config.decoupled else ""),
    ]
    lines = [line for label, value in facts if value for line in bullet(label, LABEL, value, width)]
    return Section("CONFIGURATION", tuple(lines), "y shows all of it" if config.pbtxt else "")


def _tensors(config: ModelConfig | None, width: int, look: Look) -> Section | None:
    if config is None or not (config.inputs or config.outputs):
        return None
    lines: list[Line] = []
    for word, tensors in (("in", config.inputs), ("out", config.outputs)):
        for tensor in tensors:
            lines += bullet(word, 3, _tensor_text(tensor, look), width)
    return Section("TENSORS", tuple(lines))


def _tensor_text(tensor: TensorSpec, look: Look) -> str:
    shape = ", ".join("?" if size == -1 else str(size) for size in tensor.shape)
    return f"{look.clean(tensor.name, 60)}  {look.clean(tensor.datatype, 12)}  [{shape}]"


def _versions(server: Server, model: ModelVersion, width: int, look: Look) -> Section | None:
    """The versions of the model side by side."""
    versions = [other for other in server.models if other.name == model.name]
    if len(versions) < 2:
        return None
    head = f"{'':{LABEL}}" + "".join(f"{look.clean(other.version, 8) or '-':>10}" for other in versions)
    rows = [
        ("state", [str(other.state) for other in versions]),
        ("requests/s", [rate(other.requests_per_s) for other in versions]),
        ("average batch", [batch(other.batch_avg) for other in versions]),
        ("queue", [latency_us(other.queue_us) for other in versions]),
        ("infer", [latency_us(other.compute_infer_us) for other in versions]),
        ("pending", [count(other.pending) for other in versions]),
        ("busy", [percent(other.busy_ratio) for other in versions]),
    ]
    lines: list[Line] = [((head, "title"),)]
    for label, cells in rows:
        lines.append(((fit(label, LABEL), "dim"), ("".join(f"{cell:>10}" for cell in cells), "")))
    return Section("VERSIONS", tuple(lines))


def _memory(model: ModelVersion, width: int, look: Look) -> Section | None:
    if not model.memory_bytes:
        return None
    facts = [(look.clean(where, 20), bytes_iec(used)) for where, used in model.memory_bytes]
    lines = [line for label, value in facts for line in bullet(label, LABEL, value, width)]
    return Section("MEMORY", tuple(lines), "as the backend reported it at the load")
