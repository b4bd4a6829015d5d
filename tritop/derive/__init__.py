"""From readings to the Snapshot: rates, joins, staleness, verdicts and noticed events; pure.

`derive` and `Derivation` are imported when they are first used: a session begins to read before it
derives, and the import (30 ms) then falls into the time that it waits for the second reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritop.derive.round import Round, ServerRound, SourceRound

if TYPE_CHECKING:
    from tritop.derive.derivation import Derivation, derive

__all__ = ["Derivation", "Round", "ServerRound", "SourceRound", "derive"]


def __getattr__(name: str) -> object:
    if name in {"Derivation", "derive"}:
        from tritop.derive import derivation

        return getattr(derivation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
