"""A pull: the engine's stream of events as progress, in layers, bytes, rate and time left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.model import ImageLayer
from tritop.runtimes.docker_errors import EngineFailure
from tritop.runtimes.docker_launch import pull_text
from tritop.runtimes.docker_pull import PullFold, PullProgress, stream_pull


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


def test_a_pull_from_its_first_line_to_its_last() -> None:
    fold = PullFold(Clock())
    fold.take({"status": "Pulling from nvidia/tritonserver", "id": "26.01-py3"})
    fold.take({"status": "Pulling fs layer", "id": "a"})
    fold.take({"status": "Pulling fs layer", "id": "b"})
    assert (fold.progress().total_bytes, fold.progress().seconds_left) == (None, None)
    fold.take({"status": "Downloading", "id": "a", "progressDetail": {"current": 0, "total": 1000}})
    fold.take({"status": "Downloading", "id": "a", "progressDetail": {"current": 500, "total": 1000}})
    assert fold.progress().seconds_left is None, "nobody knows how large b is"
    fold.take({"status": "Already exists", "id": "b"})
    under_way = fold.progress()
    assert (under_way.done_bytes, under_way.total_bytes, under_way.layers_done) == (500, 1000, 1)
    assert under_way.seconds_left is not None
    assert under_way.seconds_left > 0
    fold.take({"status": "Download complete", "id": "a"})
    fold.take({"status": "Extracting", "id": "a", "progressDetail": {"current": 3, "total": 1000}})
    assert fold.progress().done_bytes == 1000, "unpacking is no second download"
    fold.take({"status": "Pull complete", "id": "a"})
    fold.take({"status": "Digest: sha256:ab"})
    assert fold.progress().layers_done == 2
    assert fold.progress().bytes_per_s is None


@given(
    st.lists(
        st.fixed_dictionaries(
            {"status": st.sampled_from(["Downloading", "Waiting", "Pull complete", "odd", ""])},
            optional={
                "id": st.sampled_from(["a", "b", ""]),
                "progressDetail": st.none()
                | st.dictionaries(st.sampled_from(["current", "total"]), st.none() | st.integers(0, 10**9)),
            },
        )
    )
)
def test_any_stream_of_events_is_taken(events: list[dict[str, Any]]) -> None:
    fold = PullFold(Clock())
    for event in events:
        fold.take(event)
    progress = fold.progress()
    assert 0 <= progress.layers_done <= len(progress.layers)
    assert progress.bytes_per_s is None or progress.bytes_per_s >= 0
    assert pull_text(progress).isprintable()


def test_an_error_in_the_stream_is_raised() -> None:
    def events() -> Iterator[dict[str, Any]]:
        yield {"status": "Pulling fs layer", "id": "a"}
        yield {"error": "unauthorized", "errorDetail": {"message": "unauthorized"}}

    told: list[PullProgress] = []
    with pytest.raises(EngineFailure, match="does not hand out"):
        stream_pull(events(), "r.io/x:1", told.append)


def test_a_pull_in_a_line() -> None:
    layers = (ImageLayer("a", "Downloading", 1 << 20, 4 << 20), ImageLayer("b", "Pull complete", 1 << 20, 1 << 20))
    assert (
        pull_text(PullProgress(layers, bytes_per_s=1 << 20))
        == "pulling layer 1 of 2, 2.0 MiB of 5.0 MiB, 1.0 MiB/s, 3 s left"
    )
