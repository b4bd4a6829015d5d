"""`python -m tritop` is `tritop`."""

from __future__ import annotations

import sys

from tritop.cli import main

if __name__ == "__main__":
    sys.exit(main())
