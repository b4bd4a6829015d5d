"""What ends a process of a test must not depend on who started the tests.

A script starts its background with SIGINT ignored, nohup and some CI runners ignore SIGHUP, and every
process below inherits that. A signal with a handler is back at its default in a program that is started.
"""

from __future__ import annotations

import signal
from types import FrameType

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def _go_on(number: int, frame: FrameType | None) -> None:
    """Ignore a signal here without ignoring it in every program that is started from here."""


def give_default_dispositions() -> None:
    """Have what is started from here end on signals, while this process goes on ignoring what it ignored."""
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else _go_on)
