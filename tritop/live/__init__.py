"""The live Session: one daemon thread with its own event loop that reads, derives and delivers."""

from tritop.live.hosted import Hosted
from tritop.live.session import LiveSession

__all__ = ["Hosted", "LiveSession"]
