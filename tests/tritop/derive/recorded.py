"""Real recordings, derived: what the tests of recorded situations look at.

The recordings are made by `tests/make_recordings.py`; what was done before a round is in its events.
"""

from __future__ import annotations

import dataclasses

from tests.tritop.derive.readings import RECORDINGS, replay, scrape_span
from tritop.derive import Round, derive
from tritop.model import EventKind, ModelVersion, Snapshot
from tritop.record import read_recording

Step = tuple[str, Round, Snapshot]


def steps(name: str) -> list[Step]:
    return list(replay(name))


def noticed(snapshot: Snapshot) -> list[tuple[EventKind, str, str]]:
    """Events that nobody but the derivation told of."""
    return [(one.kind, one.model, one.version) for one in snapshot.events if one.kind is not EventKind.OPERATION]


def requests(before: Step, now: Step, of: ModelVersion) -> float:
    """How many requests the row says there were between two rounds."""
    assert of.requests_per_s is not None
    return of.requests_per_s * scrape_span(before[1], now[1])


def without(now: Round, kind: type[object]) -> Round:
    """The round as it is where one of the two sources is off."""
    (server,) = now.servers
    sources = tuple(
        dataclasses.replace(one, reading=None, fault=None, off=True) if isinstance(one.reading, kind) else one
        for one in server.sources
    )
    return dataclasses.replace(now, servers=(dataclasses.replace(server, sources=sources),))


def replay_without(name: str, kind: type[object]) -> list[Step]:
    derivation, found = None, []
    for now in read_recording(RECORDINGS / f"{name}.jsonl.xz"):
        derivation = derive(derivation, without(now, kind))
        found.append((", ".join(event.text for event in now.events), now, derivation.snapshot))
    return found


def after(found: list[Step], text: str) -> tuple[Step, Step]:
    """The round that ends with what was done, and the one before it."""
    (at,) = (place for place, step in enumerate(found) if text in step[0])
    return found[at - 1], found[at]
