from __future__ import annotations

import json
from dataclasses import replace

from tritop.load.latencies import Figures
from tritop.load.messages import Result
from tritop.load.outcome import Outcome
from tritop.load.schedule import Aim
from tritop.load.server_side import ServerMeans

MEANS = ServerMeans(100, 25, 4.0, 900.0, 500.0, 10.0, 380.0, 5.0)
RESULT = Result(
    total=Figures(2.0, 100, 400, 0, 40_000.0, 39_000.0, 50_000.0, 55_000.0, 60_000.0, 61_000.0, 61_500.0),
    errors_by_kind=(),
    unfinished=2,
    late=0,
    cpu_ratio=0.25,
    busy_ratio=0.3,
    client_bound=False,
)
OUTCOME = Outcome("gpu-box", "10.0.0.1:8001", "m", "", Aim(concurrency=2), RESULT, MEANS, "", interrupted=False)


def test_the_document_holds_every_figure_under_its_name() -> None:
    document = json.loads(json.dumps(OUTCOME.document(), allow_nan=False))
    assert document["requests_per_s"] == 50.0
    assert document["inferences_per_s"] == 200.0
    assert document["achieved_concurrency"] == 2.0
    assert document["latency_us"] == {
        "mean": 40_000.0,
        "p50": 39_000.0,
        "p90": 50_000.0,
        "p95": 55_000.0,
        "p99": 60_000.0,
        "p999": 61_000.0,
        "max": 61_500.0,
    }
    assert document["server_means"]["queue_us"] == 500.0
    assert document["server_means"]["batch_avg"] == 4.0
    assert document["errors_by_kind"] == {}
    assert OUTCOME.succeeded


def test_what_is_unknown_is_null() -> None:
    nothing = replace(RESULT, total=Figures(0.0))
    outcome = replace(OUTCOME, result=nothing, means=None, means_fault="10.0.0.1:8001 refuses.")
    document = json.loads(json.dumps(outcome.document(), allow_nan=False))
    assert document["requests_per_s"] is None
    assert document["achieved_concurrency"] is None
    assert set(document["latency_us"].values()) == {None}
    assert document["server_means"] is None
    assert not outcome.succeeded
    text = "\n".join(outcome.table())
    assert "server    -- 10.0.0.1:8001 refuses." in text
    assert "None" not in text


def test_the_table_says_what_went_wrong() -> None:
    total = replace(RESULT.total, errors=7)
    result = replace(RESULT, total=total, errors_by_kind=(("UNAVAILABLE: full", 7),), late=3, client_bound=True)
    outcome = replace(OUTCOME, result=result, aim=Aim(rate_per_s=99.5, poisson=True), version="2", interrupted=True)
    text = "\n".join(outcome.table())
    for part in (
        "m version 2 at 10.0.0.1:8001, 99.5 requests/s (Poisson), 2.0 s (interrupted)",
        "100 answered, 7 failed, 2 unfinished",
        "7 x UNAVAILABLE: full",
        "3 requests were sent after their time",
        "queue 500us",
        "batch 4.00",
        "CLIENT-BOUND",
    ):
        assert part in text
    assert not outcome.succeeded


def test_words_of_a_server_reach_the_terminal_harmless() -> None:
    hostile = "\x1b[2J\u202eevil\r\n"
    result = replace(RESULT, errors_by_kind=((hostile, 1),))
    outcome = replace(OUTCOME, model=hostile, result=result, means=None, means_fault=hostile)
    assert all(line.isprintable() or not line for line in outcome.table())
