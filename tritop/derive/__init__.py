"""From readings to the Snapshot: rates, joins, staleness, verdicts and noticed events; pure."""

from tritop.derive.derivation import Derivation, derive
from tritop.derive.round import Round, ServerRound, SourceRound

__all__ = ["Derivation", "Round", "ServerRound", "SourceRound", "derive"]
