"""Which model configurations to ask for next.

The API tells nobody that a configuration changed. A full reload shows in the statistics, a load in
the index; an in-place update (instance groups, version policy) shows nowhere, so every
configuration is also asked for again in rotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from collectors.model_statistics import Key
from tritop.model import ModelConfig
from tritop.reading import IndexEntry, VersionStatistics

ROTATION_S = 10.0
"""A configuration older than this is asked for again."""
MAX_CHANGED_PER_READ = 64
"""New or changed versions asked for in one read: 1000 models are complete after 16 reads."""
MAX_ROTATED_PER_READ = 16
"""Unsuspicious versions asked for in one read: up to 160 versions keep to `ROTATION_S`, 1000 take 63 reads."""


class ConfigWatch:
    """Keeps the configurations read so far and says which are due."""

    def __init__(self) -> None:
        self.configs: Mapping[Key, ModelConfig] = {}
        """Replaced as a whole when something changed, so that it can be compared by identity."""
        self._raw: dict[Key, bytes] = {}
        self._asked_at: dict[Key, float | None] = {}
        """Monotonic time [s] of the last question for every loaded version; `None` makes it due."""
        self._states: dict[Key, tuple[str, str]] = {}
        self._index: Sequence[IndexEntry] | None = None

    def observe(
        self,
        index: Sequence[IndexEntry] | None,
        statistics: Sequence[VersionStatistics] | None,
        restarted: Iterable[Key],
    ) -> None:
        """Take note of what is loaded now.

        Args:
            index: rows of the repository index, `None` where it was not read.
            statistics: rows of the statistics, `None` where they were not read.
            restarted: versions whose counters went back.
        """
        changed = set(restarted) | self._changed_states(index)
        loaded = _loaded(index, statistics)
        if index is not None and statistics is not None:
            self._forget_all_but(loaded, index)
        for key in loaded:
            if key not in self._asked_at or key in changed:
                self._asked_at[key] = None

    def expire(self) -> None:
        """Ask for everything again: the server may be another one now. What is known is kept until then."""
        self._asked_at = dict.fromkeys(self._asked_at)

    def due(self, now: float, at_most: int = MAX_CHANGED_PER_READ) -> list[Key]:
        """The versions to ask for now, and the note that they are being asked for.

        Args:
            now: monotonic time [s].
            at_most: a further bound on their number.
        """
        keys = [key for key, asked_at in self._asked_at.items() if asked_at is None][
            : min(at_most, MAX_CHANGED_PER_READ)
        ]
        if not keys:
            old = sorted((at, key) for key, at in self._asked_at.items() if at is not None and now - at >= ROTATION_S)
            keys = [key for _, key in old[: min(at_most, MAX_ROTATED_PER_READ)]]
        self._asked_at.update(dict.fromkeys(keys, now))
        return keys

    def is_news(self, key: Key, raw: bytes) -> bool:
        """Whether an answer differs from the last one for that version."""
        return self._raw.get(key) != raw

    def learn(self, learnt: Mapping[Key, tuple[bytes, ModelConfig]]) -> None:
        """Keep new configurations, each with the answer that it was made of."""
        if not learnt:
            return
        self._raw.update((key, raw) for key, (raw, _) in learnt.items())
        known = dict(self.configs)
        for key, (_, config) in learnt.items():
            if known.get(key) != config:
                known[key] = config
        if known != self.configs:
            self.configs = known

    def _changed_states(self, index: Sequence[IndexEntry] | None) -> set[Key]:
        if index is None or index is self._index:
            return set()
        states: dict[Key, tuple[str, str]] = {}
        for entry in index:
            # With namespaces a name may be listed twice: the first stands for both.
            states.setdefault((entry.name, entry.version), (entry.state, entry.reason))
        changed = {key for key, state in states.items() if self._states.get(key) != state}
        self._index, self._states = index, states
        return changed

    def _forget_all_but(self, loaded: Iterable[Key], index: Sequence[IndexEntry]) -> None:
        kept = set(loaded)
        kept.update((entry.name, entry.version) for entry in index if entry.state in ("LOADING", "UNLOADING"))
        for key in self._asked_at.keys() - kept:
            del self._asked_at[key]
            self._raw.pop(key, None)
        if self.configs.keys() - kept:
            self.configs = {key: config for key, config in self.configs.items() if key in kept}


def _loaded(index: Sequence[IndexEntry] | None, statistics: Sequence[VersionStatistics] | None) -> list[Key]:
    """Versions whose configuration the server would tell, READY ones first.

    A model that was loaded purely from `file:` overrides is in the statistics and not in the index.
    """
    ready = [(entry.name, entry.version) for entry in index or () if entry.state == "READY"]
    listed = {(entry.name, entry.version) for entry in index or ()}
    return ready + [key for row in statistics or () if (key := (row.name, row.version)) not in listed]
