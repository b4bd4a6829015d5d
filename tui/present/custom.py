"""Metric families that tritop does not know: kept, and shown as they are."""

from __future__ import annotations

from tritop.model import CustomSample, Server
from tui.format import rate
from tui.present.lines import Section, wrapped
from tui.present.look import Look
from tui.widgets.lines import Line

__all__ = ["custom_section"]

SAMPLES_MOST = 60


def custom_section(server: Server, width: int, look: Look, model: str = "") -> Section | None:
    """The samples of a server, or those whose labels name one model.

    Args:
        server: its custom samples.
        width: cells.
        look: characters to draw with.
        model: only samples with a label of this value; "" is all.
    """
    samples = [sample for sample in server.custom if not model or any(value == model for _, value in sample.labels)]
    if not samples:
        return None
    lines: list[Line] = []
    family = ""
    for sample in samples[:SAMPLES_MOST]:
        if sample.family != family:
            family = sample.family
            lines += wrapped(f"{look.clean(family, 120)} ({look.clean(sample.kind, 20)})", width, "dim")
        lines += wrapped(_sample_text(sample, look, model), width, indent="  ")
    if len(samples) > SAMPLES_MOST:
        lines.append(((f"and {len(samples) - SAMPLES_MOST} more", "dim"),))
    return Section("OTHER METRICS", tuple(lines))


def _sample_text(sample: CustomSample, look: Look, model: str) -> str:
    name = look.clean(sample.name.removeprefix(sample.family), 60)
    labels = ", ".join(
        f"{look.clean(label, 40)}={look.clean(value, 60)}" for label, value in sample.labels if value != model
    )
    value = f"{sample.value:.10g}"
    change = f"  {rate(sample.per_s)}/s" if sample.per_s is not None else ""
    return " ".join(part for part in (name, value + change, labels) if part)
