"""How long models took to load, out of a server's log: before 24.11 no metric says it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tritop.logs import LogLine

_LOADING, _LOADED, _FAILED = "loading: ", "successfully loaded '", "failed to load '"
_INITIALIZED = "TRITONBACKEND_Model"
LOAD_LINES = tuple(text.encode() for text in (_LOADING, _LOADED, _FAILED, _INITIALIZED))
"""What a line must contain one of to be of use."""
_MADE = re.compile(r"TRITONBACKEND_Model(?:Initialize: |InstanceInitialize: \S+_0 \()")
"""A backend made a model, or the first instance of a group: a change in place makes neither."""


def load_seconds(entries: Iterable[LogLine]) -> dict[str, float]:
    """Seconds of the last load of each model that was none in place; without those that run in no backend.

    Args:
        entries: of the log, oldest first: `loading: MODEL:VERSION` for each version, what the backend
            makes, and `successfully loaded 'MODEL'` for all of them (core, `model_lifecycle.cc`).
    """
    began_at: dict[str, float] = {}
    made: set[str] = set()
    took_s: dict[str, float] = {}
    for entry in entries:
        if entry.at is None:
            continue
        if entry.text.startswith(_LOADING):
            model = entry.text.removeprefix(_LOADING).rpartition(":")[0]
            if model not in began_at:
                began_at[model] = entry.at
                made.discard(model)
        elif _MADE.match(entry.text):
            made |= began_at.keys()  # a group may have any name, so it is for all that are under way
        elif entry.text.startswith((_LOADED, _FAILED)):
            model = entry.text.partition("'")[2].partition("'")[0]
            began = began_at.pop(model, None)
            if began is not None and model in made and entry.text.startswith(_LOADED):
                took_s[model] = entry.at - began
    return took_s
