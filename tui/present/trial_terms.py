"""How long a trial lasts and what takes it back, as texts that can be typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tritop.errors import UsageError
from tritop.trial import DEFAULT_RAILS, Rails
from tritop.units import parse_us
from tui.present.edit_fields import exact_us

__all__ = ["OFF", "TERM_FIELDS", "TrialTerms", "term_values", "terms_of"]

OFF = "off"
DEFAULT_TRIAL_S = 30.0
_PAIR = re.compile(r"[x×]?\s*(\d+(?:\.\d+)?)\s*(?:\+\s*(.+))?")

TERM_FIELDS = (
    ("seconds", "for", "how long, as 30s or 2min", "Then it is taken back by itself, unless you keep it."),
    ("failure_ratio", "failed requests", "x FACTOR + SHARE, or off", "Share of failed requests against before."),
    ("queue_us", "queue", "x FACTOR + TIME, or off", "Mean time in the queue against before."),
    ("p99_us", "p99", "x FACTOR + TIME, or off", "The slowest of 100 requests, where a source knows it."),
    ("client_errors_per_s", "our errors", "x FACTOR + RATE, or off", "Errors a second that our own traffic meets."),
    ("stalled_s", "no answer for", "a time, or off", "Requests wait and none is answered."),
)
"""(key, label, what may stand there, what it does)."""


@dataclass(frozen=True, slots=True)
class TrialTerms:
    """What a trial is applied with."""

    trial_s: float = DEFAULT_TRIAL_S
    rails: Rails = DEFAULT_RAILS


def term_values(terms: TrialTerms) -> dict[str, str]:
    """The texts of the fields."""
    rails = terms.rails
    return {
        "seconds": exact_us(round(terms.trial_s * 1e6)),
        "failure_ratio": _pair(rails.failure_ratio, lambda margin: f"{margin * 100:g}%"),
        "queue_us": _pair(rails.queue_us, lambda margin: exact_us(round(margin))),
        "p99_us": _pair(rails.p99_us, lambda margin: exact_us(round(margin))),
        "client_errors_per_s": _pair(rails.client_errors_per_s, lambda margin: f"{margin:g}/s"),
        "stalled_s": OFF if rails.stalled_s is None else exact_us(round(rails.stalled_s * 1e6)),
    }


def _pair(pair: tuple[float, float] | None, margin: Callable[[float], str]) -> str:
    if pair is None:
        return OFF
    return f"x{pair[0]:g} + {margin(pair[1])}"


def terms_of(values: Mapping[str, str]) -> tuple[TrialTerms, dict[str, str]]:
    """(terms, what is wrong with which field); a field that is wrong keeps its default."""
    errors: dict[str, str] = {}
    read: dict[str, Any] = {}
    for key, text in values.items():
        try:
            if key == "seconds" or (key == "stalled_s" and text.strip() != OFF):
                read[key] = _seconds(text)
            else:
                read[key] = None if text.strip() == OFF else _read_pair(key, text)
        except UsageError as error:
            errors[key] = error.advice or error.sentence
    trial_s = read.pop("seconds", DEFAULT_TRIAL_S)
    return TrialTerms(trial_s, replace(DEFAULT_RAILS, **read)), errors


def _seconds(text: str) -> float:
    seconds = parse_us(text, "the time") / 1e6
    if not 1.0 <= seconds <= 86_400.0:
        raise UsageError("1s to a day")
    return seconds


def _read_pair(key: str, text: str) -> tuple[float, float]:
    """A factor of at least 1 and a margin in the field's own unit."""
    match = _PAIR.fullmatch(text.strip())
    if match is None or not 1.0 <= float(match[1]) <= 1e6:
        raise UsageError("as x2 + 20ms: a factor of 1 or more, and a margin")
    margin = (match[2] or "0").strip()
    return float(match[1]), _margin(key, margin)


def _margin(key: str, text: str) -> float:
    if key.endswith("_us"):
        return float(parse_us(text, "the margin"))
    number = text.removesuffix("/s").removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        raise UsageError("the margin is no number") from None
    if not 0.0 <= value <= 1e9:
        raise UsageError("the margin must be 0 or more")
    return value / 100 if text.endswith("%") else value
