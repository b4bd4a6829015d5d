"""Which versions there are and in which state, from the repository index and the statistics together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tritop.derive.layout import Key
from tritop.model import ModelState
from tritop.reading import IndexEntry, VersionStatistics

_STATES = {
    "READY": ModelState.READY,
    "LOADING": ModelState.LOADING,
    "UNLOADING": ModelState.UNLOADING,
    "": ModelState.UNLOADED,
}


def entry_state(entry: IndexEntry) -> ModelState:
    """The state of a row of the repository index, UNAVAILABLE split by its reason."""
    if entry.state == "UNAVAILABLE":
        return ModelState.UNLOADED if entry.reason in {"", "unloaded"} else ModelState.FAILED
    return _STATES.get(entry.state, ModelState.UNKNOWN)


_PRECEDENCE = ("READY", "LOADING", "UNLOADING", "UNAVAILABLE")


def catalogue(
    index: Iterable[IndexEntry] | None, statistics: Iterable[VersionStatistics] | None
) -> dict[Key, IndexEntry]:
    """The union of the index and the statistics.

    Statistics list what is loaded, also models that exist only as files sent with a load request,
    which the index leaves out. With several repositories the index may list a version twice: the
    entry that is closest to serving stands for both.
    """
    found: dict[Key, IndexEntry] = {}
    for entry in index or ():
        key = (entry.name, entry.version)
        known = found.get(key)
        if known is None or _rank(entry) < _rank(known):
            found[key] = entry
    for version in statistics or ():
        key = (version.name, version.version)
        if key not in found:
            found[key] = IndexEntry(version.name, version.version, "READY", "")
    return found


def _rank(entry: IndexEntry) -> int:
    return _PRECEDENCE.index(entry.state) if entry.state in _PRECEDENCE else len(_PRECEDENCE)


def order(keys: Iterable[Key]) -> tuple[Key, ...]:
    """Rows by name, then version by number; the row without a version goes once there is one with."""
    distinct = set(keys)
    versioned = {name for name, version in distinct if version}
    return tuple(sorted((key for key in distinct if key[1] or key[0] not in versioned), key=_place))


def _place(key: Key) -> tuple[str, int, str]:
    name, version = key
    # isdecimal is true for digits that are not ASCII too; int reads them all the same.
    return name, int(version) if version.isdecimal() and len(version) < 20 else -1, version


def reached_by(model: str, version: str, listed: Mapping[str, str]) -> Key:
    """The version that a request reaches: the one it names, or the highest that is ready."""
    return model, version or listed.get(model, "")


def highest_ready(entries: Mapping[Key, IndexEntry]) -> dict[str, str]:
    """Model -> the version that Triton chooses where a request names none."""
    return dict(order(key for key, entry in entries.items() if entry.state == "READY"))
