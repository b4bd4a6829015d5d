from __future__ import annotations

import inspect
import json

import pytest

from collectors.grpc_faults import LostConnection
from tritop import errors
from tritop.endpoint import Endpoint, Tls
from tritop.errors import TritopError, Unreachable
from tritop.load import messages
from tritop.load.latencies import Figures
from tritop.load.messages import Report, Result, Setup
from tritop.load.schedule import Aim

ENDPOINT = Endpoint("gpu-box", "::1", tls=Tls(ca_path="/ca.pem"), headers=(("a", "1"), ("b", "2")), read_only=True)
FIGURES = Figures(1.5, 10, 20, 3, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)


@pytest.mark.parametrize("endpoint", [ENDPOINT, Endpoint("plain", "127.0.0.1")])
def test_a_setup_comes_through(endpoint: Endpoint) -> None:
    setup = Setup(endpoint, "m", "2", 4, (("x", (1, 2)), ("y", (3,))), "/input.json", timeout_s=3.0)
    line = messages.encode("setup", setup)
    assert line.count(b"\n") == 1
    assert Setup.from_message(json.loads(line)["setup"]) == setup


@pytest.mark.parametrize("endpoint", [ENDPOINT, Endpoint("plain", "127.0.0.1", repositories=("/models",))])
def test_another_endpoint_comes_through(endpoint: Endpoint) -> None:
    assert messages.decode_endpoint(json.loads(messages.encode("endpoint", endpoint))["endpoint"]) == endpoint


@pytest.mark.parametrize("aim", [Aim(concurrency=3), Aim(rate_per_s=2.5, poisson=True)])
def test_a_report_and_a_result_come_through(aim: Aim) -> None:
    report = Report(aim, FIGURES, (("A: b", 3),), 4, True, 5, 0.5, 0.25, False)
    assert Report.from_message(json.loads(messages.encode("report", report))["report"]) == report
    result = Result(Figures(2.0), (("A", 1), ("B", 2)), 3, 4, 0.5, 0.75, True)
    assert Result.from_message(json.loads(messages.encode("result", result))["result"]) == result


def test_a_line_break_of_the_server_does_not_break_the_line() -> None:
    result = Result(FIGURES, (("A: \n\r\x85\u2028", 1),), 0, 0, 0.0, 0.0, False)
    line = messages.encode("result", result)
    assert len(line.splitlines()) == 1


KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TritopError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_arrives_as_what_it_was(kind: type[TritopError]) -> None:
    fault = messages.decode_fault(json.loads(messages.encode_fault(kind("It broke.", "Mend it.")))["fault"])
    assert type(fault) is kind
    assert (fault.sentence, fault.advice, fault.exit_code) == ("It broke.", "Mend it.", kind.exit_code)


def test_an_error_of_a_collector_arrives_as_the_kind_that_it_is_one_of() -> None:
    fault = messages.decode_fault(json.loads(messages.encode_fault(LostConnection("Gone.")))["fault"])
    assert type(fault) is Unreachable
