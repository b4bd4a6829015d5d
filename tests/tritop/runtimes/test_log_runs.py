"""Which run a line of a container's log is from."""

from __future__ import annotations

import pytest

from tritop.runtimes.log_runs import RunCount, earliest_line_s

BANNER = b"== Triton Inference Server =="
CREATED = b"I1126 06:34:01.620868 6 pinned_memory_manager.cc:277] \"Pinned memory pool is created at '0x7f' with ...\""
REFUSED = b'W1126 06:34:01.620868 6 pinned_memory_manager.cc:273] "...: pinned memory pool will not be available: ..."'


def runs_of(*lines: bytes) -> list[int]:
    count = RunCount()
    return [count.of(line) for line in lines]


def test_the_first_words_of_triton_begin_a_run() -> None:
    assert runs_of(CREATED, b"a", REFUSED, b"b", b"c", CREATED) == [1, 1, 2, 2, 2, 3]


def test_the_banner_of_nvidias_image_belongs_to_the_run_that_it_announces() -> None:
    assert runs_of(BANNER, CREATED, b"a", BANNER, b"x", CREATED, b"b") == [1, 1, 1, 2, 2, 2, 2]


def test_what_is_known_from_the_engine_and_the_words_that_follow_are_one_beginning() -> None:
    count = RunCount()
    count.begin()
    assert count.of(CREATED) == 1, "nothing was before it"
    count.begin()
    assert [count.of(line) for line in (b"an entrypoint", CREATED, b"a")] == [2, 2, 2]
    count.begin()
    count.begin()
    assert count.of(b"no words that are known") == 3


NEVER = "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("started", "finished", "earliest_s"),
    [
        ("1970-01-01T00:00:10Z", NEVER, 9.5),
        ("1970-01-01T00:00:10Z", "1970-01-01T00:00:08Z", 9.5),
        ("1970-01-01T00:00:10Z", "1970-01-01T00:00:09.75Z", 9.75),
        # It is over: what is known is the end of this run, not of the one before.
        ("1970-01-01T00:00:10Z", "1970-01-01T00:00:12Z", 9.5),
        ("1970-01-01T02:00:10+02:00", NEVER, 9.5),
    ],
)
def test_a_run_may_write_before_the_engine_notes_that_it_started(
    started: str, finished: str, earliest_s: float
) -> None:
    assert earliest_line_s({"State": {"StartedAt": started, "FinishedAt": finished}}) == earliest_s
