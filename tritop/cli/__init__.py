"""The command line. It alone knows every part, and imports the heavy ones inside functions."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run tritop and return its exit code.

    Args:
        argv: the arguments without the program's name; `None` takes them from `sys.argv`.

    Returns:
        0 fine, 1 unhealthy or failed, 2 usage, 3 unreachable, 128 + the number of the signal that ended it.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments in (["-V"], ["--version"]):
        # Answered before anything else is imported: argparse alone costs half of the budget.
        from tritop import __version__

        print(f"tritop {__version__}")
        return 0
    from tritop.cli.run import run

    return run(arguments)
