"""From arguments to exit code: find the verb, run it, and turn every ending into the right words."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from tritop.cli.arguments import parse
from tritop.cli.waiting import Ended
from tritop.errors import TritopError


def run(arguments: Sequence[str]) -> int:
    """Run one command line. Expected errors become a sentence on stderr; a bug keeps its traceback."""
    try:
        command, namespace = parse(arguments)
        code = command.run(namespace)
        sys.stdout.flush()
        return code
    except TritopError as error:
        complain(error.sentence, error.advice)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Ended as ended:
        return 128 + ended.signal_number
    except BrokenPipeError:
        # The reader has gone, so the flush at exit must not meet the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def complain(sentence: str, advice: str = "") -> None:
    """Tell the person at the terminal, on stderr."""
    from tritop.cli.text import printable

    print(f"tritop: {printable(sentence)}", file=sys.stderr)
    if advice:
        print(f"  {printable(advice)}", file=sys.stderr)
