"""Processes of tests end on signals, also where whoever started the tests ignores them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.dispositions import ENDING

ROOT = Path(__file__).resolve().parent.parent

ASK = "import signal; print(*[int(signal.getsignal(n) is signal.SIG_IGN) for n in map(int, '{numbers}'.split())])"
IGNORING = """
import os, signal, sys
for number in {numbers}:
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-c", {program!r}])
"""
"""Not by a function between fork and exec: other threads of this process may hold locks at that moment."""
TESTS = """
import os, signal, subprocess, sys
from tests.dispositions import give_default_dispositions
give_default_dispositions()
os.kill(os.getpid(), signal.SIGHUP)
subprocess.run([sys.executable, "-c", {ask!r}], check=True)
"""


def test_a_program_that_is_started_ignores_no_signal_that_ends_it() -> None:
    numbers = [int(number) for number in ENDING]
    ask = ASK.format(numbers=" ".join(map(str, numbers)))

    def told(program: str) -> str:
        command = [sys.executable, "-c", IGNORING.format(numbers=numbers, program=program)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert told(ask) == "1 1 1 1\n", "what it would be without"
    assert told(TESTS.format(ask=ask)) == "0 0 0 0\n"
