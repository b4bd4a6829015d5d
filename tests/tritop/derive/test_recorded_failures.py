"""What is derived from a real Triton 2.51 when requests fail, those included that no counter has.

The recordings are made by `tests/make_recordings.py`; what was done before a round is in its events.
"""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from tests.tritop.derive.readings import FAILURE, row, scrape_span, scraped
from tests.tritop.derive.recorded import after, requests, steps


def test_an_error_response_of_the_python_backend_counts_as_success() -> None:
    before, now = after(steps("failures"), "3 error responses")
    found = row(now[2], "work", "2")
    assert requests(before, now, found) == pytest.approx(3)
    assert found.failures_per_s == 0.0


def test_an_exception_counts_as_a_failure_by_the_backend_and_as_an_execution_without_inference() -> None:
    before, now = after(steps("failures"), "2 exceptions")
    found, span_s = row(now[2], "work", "2"), scrape_span(before[1], now[1])
    assert dict(found.failures_by_reason) == pytest.approx({"BACKEND": 2 / span_s})
    assert found.requests_per_s == 0.0
    assert found.executions_per_s == pytest.approx(2 / span_s)
    assert found.inferences_per_s == 0.0
    assert found.batch_avg is None


def test_a_rejection_by_max_queue_size_is_in_no_counter() -> None:
    before, now = after(steps("failures"), "refused by max_queue_size")
    sent = re.match(r"(\d+) requests to full, (\d+) refused", now[0])
    assert sent is not None
    found = row(now[2], "full")
    assert int(sent[2]) > 0
    assert requests(before, now, found) == pytest.approx(int(sent[1]) - int(sent[2]))
    assert found.failures_per_s == 0.0


def test_a_timeout_in_the_queue_counts_as_rejected() -> None:
    before, now = after(steps("failures"), "expired in the queue")
    sent = re.match(r"(\d+) requests to timed, (\d+) expired", now[0])
    assert sent is not None
    found, span_s = row(now[2], "timed"), scrape_span(before[1], now[1])
    assert int(sent[2]) > 0
    assert dict(found.failures_by_reason) == pytest.approx({"REJECTED": int(sent[2]) / span_s})
    # The requests that expired are not in the mean queue time: it is that of the survivors.
    assert found.queue_us is not None
    assert found.queue_us < 20_000


def test_a_request_that_its_client_gave_up_in_the_queue_counts_as_canceled() -> None:
    found = steps("failures")
    canceled = 0.0
    for before, now in pairwise(found):
        by_reason = dict(row(now[2], "full").failures_by_reason)
        canceled += by_reason.get("CANCELED", 0.0) * scrape_span(before[1], now[1])
    assert canceled == pytest.approx(scraped(found[-1][1], FAILURE, model="full", reason="CANCELED"))
    assert canceled >= 1


def test_a_request_to_a_version_that_does_not_exist_is_in_no_counter() -> None:
    _, now = after(steps("failures"), "version that does not exist")
    assert now[0].startswith("2 requests")
    found = row(now[2], "work", "2")
    assert (found.requests_per_s, found.failures_per_s) == (0.0, 0.0)
