"""Quantities, previews as text and JSON, and the questions before a change."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import time
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.change import ChangeClass, FieldChange, Outcome, Preview, Problem, VersionChoice
from tritop.cli import changing
from tritop.cli.preview_text import outcome_document, preview_document, preview_lines
from tritop.cli.units import parse_numbers, parse_seconds, parse_switch, parse_us, parse_versions, size
from tritop.control.recorded import RecordedControl
from tritop.errors import OperationFailed, UsageError
from tritop.operation import LoadModel

PREVIEW = Preview(
    server="gpu-box",
    model="resnet",
    change=ChangeClass.FULL_RELOAD,
    diff=(FieldChange("max_batch_size", "8", "16"), FieldChange("response_cache.enable", "", "true")),
    warnings=("both copies are in memory",),
    lost_fields=("input",),
    expected_s=1.5,
    memory_needed_bytes=3 * 2**30,
    memory_free_bytes=5 * 2**20,
    resets=("statistics",),
    dependents=("pipeline",),
)


@pytest.mark.parametrize(
    ("text", "us"),
    [("500us", 500), ("2ms", 2000), ("1s", 10**6), ("1.5s", 1_500_000), ("0", 0), ("0.5ms", 500), ("1min", 60_000_000)],
)
def test_durations(text: str, us: int) -> None:
    assert parse_us(text, "delay") == us
    assert parse_seconds(text, "delay") == us / 1e6


@pytest.mark.parametrize("text", ["", "2", "-1ms", "1.5us", "2 m", "ms", "1e3us", "2ms2ms", "0.1ns"])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError):
        parse_us(text, "delay")


@given(st.integers(0, 10**15))
def test_a_duration_is_exact_in_every_unit(us: int) -> None:
    for unit, factor in (("us", 1), ("ms", 1000), ("s", 1_000_000)):
        assert parse_us(f"{Decimal(us) / factor:f}{unit}", "delay") == us


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("all", VersionChoice(all=True)),
        ("latest", VersionChoice(latest=1)),
        ("latest:3", VersionChoice(latest=3)),
        ("3,1,3", VersionChoice(specific=(1, 3))),
    ],
)
def test_versions(text: str, choice: VersionChoice) -> None:
    assert parse_versions(text) == choice
    assert parse_versions(str(choice)) == choice


@pytest.mark.parametrize("text", ["", "none", "latest:", "latest:0", "latest:x", "1;2", "-1", "newest"])
def test_no_versions(text: str) -> None:
    with pytest.raises(UsageError):
        parse_versions(text)


def test_numbers_switches_and_sizes() -> None:
    assert (parse_numbers("4, 8", "x"), parse_numbers("none", "x")) == ((4, 8), ())
    assert (parse_switch("on", "x"), parse_switch("off", "x")) == (True, False)
    with pytest.raises(UsageError, match="neither on nor off"):
        parse_switch("yes", "x")
    assert [size(number) for number in (None, 5, 2048, 3 * 2**30)] == ["--", "5 B", "2 KiB", "3.0 GiB"]


def test_a_preview_names_everything_and_harms_no_terminal() -> None:
    text = "\n".join(preview_lines(PREVIEW))
    for part in ("full reload", "about 1.5 s", "3.0 GiB", "5 MiB free", "8 -> 16", "(not set) -> true", "pipeline"):
        assert part in text
    hostile = Preview("s\x1b[2J", "m\n\x07", ChangeClass.LOAD, warnings=("\x1b]0;owned\x07",), refusal="no\r")
    for line in preview_lines(hostile):
        assert line.isprintable()


def test_a_problem_says_that_nothing_will_be_sent() -> None:
    broken = Preview("s", "m", ChangeClass.FULL_RELOAD, problems=(Problem("max_batch_size", "is -1."),))
    assert [*preview_lines(broken)] == ["m on s: will not be sent", "  wrong: max_batch_size: is -1."]


def test_the_json_has_null_for_what_is_unknown() -> None:
    bare = preview_document(Preview("s", "m", ChangeClass.NOTHING))
    assert (bare["expected_s"], bare["refusal"], bare["memory_free_bytes"], bare["sendable"]) == (
        None,
        None,
        None,
        False,
    )
    outcome = outcome_document(Outcome("done", True, PREVIEW, 1.23456, (1,), (1, 2)))
    assert (outcome["duration_s"], outcome["versions_after"]) == (1.235, [1, 2])
    assert json.loads(json.dumps(outcome))["preview"]["diff"][1] == {
        "path": "response_cache.enable",
        "before": None,
        "after": "true",
    }


class FakeControl:
    """Stands in for RecordedControl: previews as the test says, notes what it is told to carry out."""

    def __init__(self, preview: Preview) -> None:
        self._preview = preview
        self.performed: list[Any] = []

    async def preview(self, operation: object, progress: object) -> Preview:
        return self._preview

    async def perform(self, change: object, progress: object) -> Outcome:
        self.performed.append(change)
        return Outcome("done", True, self._preview)


class FakeTerminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def namespace(**given: object) -> argparse.Namespace:
    return argparse.Namespace(
        **({"dry_run": False, "yes": False, "lose": [], "json": False, "count_sequences": False} | given)
    )


def apply(control: FakeControl, **given: object) -> int:
    change = LoadModel("s", "m", pbtxt="x")
    return asyncio.run(changing.apply(cast(RecordedControl, control), change, namespace(**given)))


@pytest.mark.parametrize(
    ("answers", "agreed"), [("y\ny\n", True), ("yes\nY\n", True), ("n\n", False), ("y\nn\n", False), ("", False)]
)
def test_each_loss_and_the_change_itself_are_asked_about(
    answers: str, agreed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = FakeTerminal()
    monkeypatch.setattr(sys, "stdin", FakeTerminal(answers))
    monkeypatch.setattr(sys, "stderr", err)
    control = FakeControl(PREVIEW)
    if agreed:
        assert apply(control) == 0
        assert control.performed[0].confirmed_losses == ("input",)
        assert "Give up input? [y/N] Apply? [y/N] " in err.getvalue()
    else:
        with pytest.raises(OperationFailed, match="nothing was changed"):
            apply(control)
        assert control.performed == []


def test_without_a_terminal_yes_must_be_said_and_losses_named(capsys: pytest.CaptureFixture[str]) -> None:
    control = FakeControl(PREVIEW)
    with pytest.raises(UsageError, match="no terminal"):
        apply(control)
    with pytest.raises(UsageError, match=r"would lose input.*--lose input"):
        apply(control, yes=True)
    assert control.performed == []
    assert apply(control, yes=True, lose=["input, output"]) == 0
    assert control.performed[0].confirmed_losses == ("input", "output")
    assert capsys.readouterr().out == "done\n"


def test_a_plain_load_is_not_asked_about() -> None:
    control = FakeControl(Preview("s", "m", ChangeClass.LOAD))
    assert apply(control) == 0
    assert len(control.performed) == 1


def test_a_dry_run_changes_nothing_and_fails_where_the_change_would(capsys: pytest.CaptureFixture[str]) -> None:
    control = FakeControl(PREVIEW)
    assert apply(control, dry_run=True) == 0
    refused = FakeControl(Preview("s", "m", ChangeClass.LOAD, refusal="it is locked."))
    with pytest.raises(OperationFailed, match="it is locked"):
        apply(refused, dry_run=True)
    assert (control.performed, refused.performed) == ([], [])
    assert "will not be sent" in capsys.readouterr().out


def test_progress_begins_after_a_second_and_stays_on_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for stream, shown in ((FakeTerminal(), "\r\x1b[Ktwo\r\x1b[Kthree\r\x1b[K"), (io.StringIO(), "two\n")):
        monkeypatch.setattr(sys, "stderr", stream)
        now[0] = 100.0
        line = changing.ProgressLine()
        for seconds, text in ((0.5, "one"), (1.5, "two"), (2.5, "three")):
            now[0] = 100.0 + seconds
            line(text)
        line.end()
        assert stream.getvalue() == shown
