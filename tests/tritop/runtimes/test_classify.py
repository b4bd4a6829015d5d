"""Ends of Triton, as they were measured, in words and in kind."""

from __future__ import annotations

import pytest

from tritop.runtimes.classify import ExitFacts, classify_exit, size
from tritop.runtimes.supervisor import EndingKind

BAD_FLAG = ("Usage: tritonserver [options]", "tritonserver: unrecognized option '--no-such'")
NO_REPOSITORY = (
    'I1122 23:45:01.1 7 server.cc:604] "x"',
    "error: creating server: Internal - failed to stat file /models",
)
FAILED_MODELS = ("error: creating server: Internal - failed to load all models",)
PORT = (
    "E1122 23:45:01.1 7 a.cc:1] \"failed to start GRPC service: Unavailable - Socket '0.0.0.0:8001' already in use\"",
)


@pytest.mark.parametrize(
    ("facts", "kind", "said"),
    [
        (ExitFacts(0, stopped_by_us=True), EndingKind.ASKED, "It was stopped."),
        (ExitFacts(137, stopped_by_us=True, signal_sent=9), EndingKind.ASKED, "It did not end in time and was killed."),
        (ExitFacts(1, stopped_by_us=True, lines=FAILED_MODELS), EndingKind.ASKED, "It was stopped."),
        (ExitFacts(0, signal_sent=15), EndingKind.ASKED, "Somebody stopped it through the engine."),
        (ExitFacts(137, signal_sent=9), EndingKind.ASKED, "Somebody killed it through the engine."),
        (ExitFacts(143, signal_sent=15), EndingKind.ASKED, "Somebody stopped it"),
        (ExitFacts(0), EndingKind.ASKED, "exit code 0"),
        (ExitFacts(1, lines=BAD_FLAG, ran_s=0.1), EndingKind.PERMANENT, "unrecognized option '--no-such'"),
        (ExitFacts(1, lines=NO_REPOSITORY, ran_s=1.1), EndingKind.PERMANENT, "failed to stat file"),
        (ExitFacts(1, lines=FAILED_MODELS, ran_s=5.0), EndingKind.CRASH, "exit code 1: error: creating server"),
        (ExitFacts(1, lines=PORT, ran_s=3.0), EndingKind.WORLD, "0.0.0.0:8001 is already in use"),
        (ExitFacts(137), EndingKind.CRASH, "SIGKILL"),
        (ExitFacts(137, out_of_memory=True, memory_limit_bytes=1 << 30), EndingKind.OOM, "memory limit of 1.0 GiB"),
        (ExitFacts(1, out_of_memory=True, lines=FAILED_MODELS), EndingKind.CRASH, "failed to load all models"),
        (ExitFacts(139), EndingKind.CRASH, "SIGSEGV"),
        (
            ExitFacts(139, lines=(" 2# pthread_mutex_lock in libc.so.6",)),
            EndingKind.CRASH,
            "a client cancels",
        ),
        (ExitFacts(134), EndingKind.CRASH, "SIGABRT"),
        (ExitFacts(129), EndingKind.CRASH, "SIGHUP"),
        (ExitFacts(127), EndingKind.PERMANENT, "no tritonserver"),
        (ExitFacts(128, error="context deadline exceeded"), EndingKind.CRASH, "context deadline exceeded"),
        (ExitFacts(None), EndingKind.CRASH, "nobody saw how"),
        (ExitFacts(255), EndingKind.CRASH, "exit code 255."),
    ],
)
def test_ends(facts: ExitFacts, kind: EndingKind, said: str) -> None:
    ending = classify_exit(facts)
    assert ending.kind is kind
    assert said in ending.sentence
    assert ending.exit_code == facts.exit_code


def test_two_ends_of_one_cause_have_one_signature() -> None:
    def signature(line: str, code: int = 1) -> str:
        return classify_exit(ExitFacts(code, lines=(line,), ran_s=60.0)).signature

    assert signature("error: no memory at 0x7f01, page 12") == signature("error: no memory at 0x7eff, page 13")
    assert signature("error: no memory") != signature("error: no model")
    assert signature("one thing", 137) == signature("another thing", 137), "what a killed server said last is chance"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB"), (5 << 40, "5.0 TiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
