"""What is arranged before a screen is drawn."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import logging, sys
if sys.argv[1] == "kept off":
    from tritop.cli.terminal import keep_logging_off_the_screen
    keep_logging_off_the_screen()
logging.getLogger("asyncio").warning("Unknown child process pid 7")
"""


def stderr_of(mode: str) -> str:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, mode], capture_output=True, text=True, check=True)
    return done.stderr


def test_a_library_that_logs_writes_nothing_into_the_picture() -> None:
    assert "Unknown child process" in stderr_of("as it is"), "without it the record does reach the terminal"
    assert stderr_of("kept off") == ""
