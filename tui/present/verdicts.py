"""Why a model is slow, in words: the short form for the table and the long one for its page."""

from __future__ import annotations

from tritop.model import ModelState, ModelVersion, Verdict, VerdictKind
from tui.format import age_s, clean, count, latency_us, percent, rate

__all__ = ["evidence_text", "first_line", "verdict_sentence", "why", "why_tone"]

_SENTENCES = {
    VerdictKind.DELAY: "Requests wait for the batcher's delay, not for capacity: a shorter max queue delay helps.",
    VerdictKind.CAPACITY: "Requests come faster than the instances work: larger batches or more instances help.",
    VerdictKind.INSTANCES: "Requests wait while the GPU has room: more instances help.",
    VerdictKind.INPUT: "Gathering the inputs takes longer than the model itself.",
    VerdictKind.CLIENT: "The client limits the rate, the server has room.",
    VerdictKind.STALLED: "Requests wait and nothing is executed.",
    VerdictKind.REJECTING: "The queue is bounded and requests are turned away.",
    VerdictKind.FAILING: "Requests reach the model and fail there.",
    VerdictKind.LOAD_FAILED: "The server could not load it; a load with the cause removed replaces this state.",
}


def first_line(text: str) -> str:
    """The first line of a server's text that says anything, cleaned."""
    return next((clean(line.strip()) for line in text.splitlines() if line.strip()), "")


def evidence_text(name: str, value: float) -> str:
    """One piece of evidence, its unit taken from the end of its name: `busy ratio` 0.98 is `busy 98%`."""
    words = name.replace("_", " ").strip()
    if words.endswith(" us"):
        return f"{words.removesuffix(' us')} {latency_us(value)}"
    if words.endswith("ratio"):
        return f"{words.removesuffix('ratio').strip()} {percent(value)}"
    for ending in ("/s", " per s"):
        if words.endswith(ending):
            return f"{words.removesuffix(ending)} {rate(value).strip()}/s"
    return f"{words} {count(round(value))}"


def why(model: ModelVersion) -> str:
    """What the last column of the table says, with the most telling evidence; "" when all is well."""
    verdict = model.verdict
    if verdict is not None:
        said = first_line(verdict.text) or ", ".join(evidence_text(*piece) for piece in verdict.evidence[:3])
        return f"{verdict.kind}: {said}" if said else str(verdict.kind)
    if model.state is ModelState.FAILED:
        return first_line(model.reason)
    if model.age_s is not None:
        return f"last read {age_s(model.age_s)} ago"
    if model.counters_restarted:
        return "counters restarted"
    return ""


def why_tone(verdict: Verdict | None) -> str:
    """Look of a verdict: what breaks requests is an error, what slows them a warning."""
    if verdict is None:
        return ""
    broken = (VerdictKind.FAILING, VerdictKind.STALLED, VerdictKind.LOAD_FAILED, VerdictKind.REJECTING)
    return "error" if verdict.kind in broken else "warn"


def verdict_sentence(verdict: Verdict) -> str:
    """What the verdict means and what would help."""
    return _SENTENCES[verdict.kind]
