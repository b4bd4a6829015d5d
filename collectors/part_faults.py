"""Faults of the parts of one source: each with the time of the first failure in a row."""

from __future__ import annotations

from collections.abc import Mapping

from tritop.errors import ReadError
from tritop.model import Fault


class PartFaults:
    """Turns the errors of one read into Faults that count the failures in a row, part by part."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}

    def update(self, errors: Mapping[str, ReadError], at: float) -> tuple[Fault, ...]:
        """The faults of this read.

        Args:
            errors: error by part, such as "statistics"; a part that is not in it is well again.
            at: wall time [s since the epoch] of this read.
        """
        faults = {}
        for part, error in errors.items():
            before = self._faults.get(part)
            faults[part] = Fault(
                title=error.title,
                sentence=f"No {part}: {error.sentence}",
                advice=error.advice,
                since=before.since if before else at,
                attempts=before.attempts + 1 if before else 1,
            )
        self._faults = faults
        return tuple(faults.values())
