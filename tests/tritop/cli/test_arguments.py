"""From a command line to its verb: options before and after it, slips, help."""

from __future__ import annotations

import argparse

import pytest

from tritop import __version__
from tritop.cli import main
from tritop.cli.arguments import flags_of, full_parser, parse, split_verb, target_texts
from tritop.cli.commands import command, command_names
from tritop.errors import UsageError


@pytest.mark.parametrize(
    ("line", "verb", "rest"),
    [
        ("", "watch", ""),
        ("gpu-box", "watch", "gpu-box"),
        ("models gpu-box", "models", "gpu-box"),
        ("--json models gpu-box", "models", "--json gpu-box"),
        ("--theme light models", "models", "--theme light"),
        ("--theme models gpu-box", "watch", "--theme models gpu-box"),
        ("--theme models models", "models", "--theme models"),
        ("-d 2 gpu-box models", "watch", "-d 2 gpu-box models"),
        ("-- models", "watch", "-- models"),
        ("-u models", "watch", "-u models"),
        ("watch models", "watch", "models"),
        ("--help", "watch", "--help"),
        ("--unheard-of models", "models", "--unheard-of"),
    ],
)
def test_the_verb_is_the_first_word_if_it_is_one(line: str, verb: str, rest: str) -> None:
    assert split_verb(line.split()) == (verb, rest.split())


def test_targets_and_options_may_be_mixed() -> None:
    _, namespace = parse(["a", "-d", "2", "b", "--json", "-u", "c", "d"])
    assert target_texts(namespace) == ["a", "b", "d", "c"]
    assert (namespace.interval, namespace.json) == ("2", True)


def test_what_was_not_given_is_left_to_environment_and_file() -> None:
    _, namespace = parse([])
    flags = flags_of(namespace)
    assert {key for key, value in flags.items() if value is not None} <= {"targets", "url", "once", "json", "ndjson"}


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("-i 3", "interval", "3"),
        ("--interval=3", "interval", "3"),
        ("--readonly", "read_only", True),
        ("--read-only", "read_only", True),
        ("--no-color", "color", False),
        ("--no-mouse", "mouse", False),
        ("--ascii", "ascii", True),
        ("--low-bandwidth", "low_bandwidth", True),
        ("--no-metrics", "metrics", "off"),
        ("--metrics-url http://m/metrics", "metrics", "http://m/metrics"),
        ("--tls", "tls", True),
        ("--tls-server-name triton", "tls_server_name", "triton"),
        ("--header a=env:B --header c=env:D", "header", ["a=env:B", "c=env:D"]),
        ("--config x.toml", "config", "x.toml"),
    ],
)
def test_every_flag_reaches_its_setting(line: str, key: str, value: object) -> None:
    _, namespace = parse(line.split())
    assert flags_of(namespace)[key] == value


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--jsn", "Did you mean --json?"),
        ("--intervall=2", "Did you mean --interval?"),
        ("models --jsonn", "See tritop models --help"),
        ("--json --ndjson", "not allowed with"),
        ("--metrics-url http://m --no-metrics", "not allowed with"),
        ("-d", "expected one argument"),
        ("--o", "there is no option --o"),
        ("completion", "required: shell"),
        ("completion ksh", "ksh"),
        ("info gpu-box", "gpu-box"),
    ],
)
def test_a_slip_is_named_and_exits_2(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tritop: ")
    assert said in err


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    assert capsys.readouterr().out == f"tritop {__version__}\n"


@pytest.mark.parametrize("name", command_names())
def test_every_verb_has_help_that_names_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([name, "--help"])
    assert ended.value.code == 0
    help_text = capsys.readouterr().out
    assert command(name).summary.split()[0] in help_text or command(name).description.split()[0] in help_text
    assert max(len(line) for line in help_text.splitlines()) <= 120


def test_help_without_a_verb_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["-h"])
    help_text = capsys.readouterr().out
    for name in set(command_names()) - {"watch"}:
        assert f"\n  {name}" in help_text


def test_a_verb_that_is_not_there_is_a_host() -> None:
    assert split_verb(["modles"]) == ("watch", ["modles"])


def test_the_parser_for_completion_holds_every_verb() -> None:
    parser = full_parser()
    (verbs,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    assert tuple(verbs.choices) == command_names()


def test_a_usage_error_is_raised_not_exited() -> None:
    with pytest.raises(UsageError):
        parse(["--jsn"])
