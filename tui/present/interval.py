"""The steps of the interval between two readings."""

from __future__ import annotations

__all__ = ["INTERVALS_S", "next_interval"]

INTERVALS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""What `+` and `-` step through [s]."""


def next_interval(current_s: float, *, longer: bool) -> float:
    """The next step from any interval; the last step stays."""
    if longer:
        return next((step for step in INTERVALS_S if step > current_s * 1.01), INTERVALS_S[-1])
    return next((step for step in reversed(INTERVALS_S) if step < current_s * 0.99), INTERVALS_S[0])
