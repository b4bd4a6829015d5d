"""How far a start is, out of Triton's own log lines. Pure.

Until all models are loaded Triton opens no port (facts of 2.51 and newer), so its log is the only
place that says anything.
"""

from __future__ import annotations

import re

_LOADING = re.compile(r'"loading: (.+):(\d+)"')
_LOADED = re.compile(r"\"successfully loaded '(.+?)'\"")
_FAILED = re.compile(r"\"failed to load '(.+?)'")


class LoadProgress:
    """Models loading and loaded in one run.

    Attributes:
        loading: names of the models under way, oldest first.
        done: names of the models that loaded or failed to.
    """

    def __init__(self) -> None:
        self.loading: dict[str, None] = {}
        self.done: set[str] = set()

    def take(self, line: str) -> None:
        """Take one line of the log in; most lines say nothing."""
        if "load" not in line:
            return
        if found := _LOADING.search(line):
            self.loading[found[1]] = None
            self.done.discard(found[1])
        elif found := _LOADED.search(line) or _FAILED.search(line):
            self.loading.pop(found[1], None)
            self.done.add(found[1])

    def step(self) -> str:
        """What is being done now, "" where no model is under way."""
        if not self.loading:
            return ""
        names = list(self.loading)
        return f"loading {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
