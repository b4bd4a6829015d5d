"""From readings to the Snapshot: rates, joins, staleness, verdicts and noticed events; pure."""

from tritop.derive.round import Round, ServerRound, SourceRound

__all__ = ["Round", "ServerRound", "SourceRound"]
