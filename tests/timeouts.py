"""A test that takes too long fails by its name, also in the middle of an event loop.

pytest-timeout raises pytest's own failure out of a signal handler. An event loop catches it, tells its
exception handler, and goes on: the test hangs for ever. A SystemExit is what a loop lets through.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import pytest

AGAIN_S = 30.0
"""What is cleaned up afterwards may hang as well."""


class TookTooLong(SystemExit):
    """Raised in the main thread, wherever it is."""


class Settings(Protocol):
    """What pytest-timeout read of marks and options."""

    timeout: float


class Timeouts:
    """A plugin that takes the place of pytest-timeout's own timer."""

    def __init__(self) -> None:
        self._test_has_the_word = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Settings) -> bool:
        def end(number: int, frame: FrameType | None) -> None:
            # While pytest itself works it must not be interrupted; the next round comes soon enough.
            if self._test_has_the_word:
                raise TookTooLong(f"{item.nodeid} takes longer than {settings.timeout:g} s")

        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, AGAIN_S)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_cancel_timer(self) -> bool:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        return True

    @contextmanager
    def _word(self) -> Iterator[None]:
        self._test_has_the_word = True
        try:
            yield
        except TookTooLong:
            self._test_has_the_word = False
            # Tasks that were interrupted tell of it when they are collected. In the middle of pytest's parsing,
            # for the report, Python 3.11 does not survive that (AST constructor recursion depth mismatch).
            gc.collect()
            raise
        finally:
            self._test_has_the_word = False

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        with self._word():
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        with self._word():
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        with self._word():
            return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Timeouts())
