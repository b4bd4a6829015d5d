"""Which model a line of the log is about."""

from __future__ import annotations

import re

_NAMED = re.compile(
    r"^loading: (?P<loading>\S+):\d+$"
    r"|^TRITONBACKEND_Model\w+: (?:\D*successful )?(?P<instance>\S+) \("
    r"|^(?P<unloading>\S+) v\d+: [A-Z]{3}"
    r"|(?:loaded|unloaded|load|unload|model:?|ensemble) '(?P<quoted>[^']{1,200})'"
    r"|(?:instance|thread for) (?P<thread>\w[^\s']*_\d+)\b"
    r"|/(?P<folder>[^/\s\"']{1,200})/\d+/model\.py\b"
)
_INSTANCE_NUMBERS = re.compile(r"(?:_\d+){1,2}$")
_KNOWN_MOST = 10_000


class ModelNames:
    """Finds model names in the messages of Triton, its backends and in tracebacks.

    Instances are called after their model with numbers behind (`matrix_0_1`), and a model may
    itself be called `net_2`; so the names that were loaded are remembered.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def named_in(self, text: str) -> str:
        """The model that a cleaned line names, "" for none."""
        found = _NAMED.search(text)
        if found is None:
            return ""
        kind = found.lastgroup
        name = found[kind] if kind else ""
        if kind in ("instance", "thread"):
            return self._model_of(name)
        if kind == "loading" and len(self._known) < _KNOWN_MOST:
            self._known.add(name)
        return name

    def _model_of(self, instance: str) -> str:
        name = instance
        while name and name not in self._known:
            shorter = re.sub(r"_\d+$", "", name)
            if shorter == name:
                return _INSTANCE_NUMBERS.sub("", instance)
            name = shorter
        return name
