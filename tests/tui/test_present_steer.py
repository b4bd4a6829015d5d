"""Starting, stopping, restarting, removing and entering servers: when it is possible, and what the question says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.tui.sample_servers import (
    crashed,
    ended,
    engine_lost,
    foreign,
    launch_in,
    pulling,
    remote,
    running,
    sample_container,
    servers_snapshot,
)
from tests.tui.samples import HOSTILE_NAMES
from tritop.model import Server, ServerState, Snapshot
from tritop.operation import SteerServer, Wish
from tui.present.look import Look
from tui.present.may_run import command_reason, launch_reason, shell_reason, steer_reason
from tui.present.shell_line import shell_line, shell_problem
from tui.present.steer import steer_lines, steer_title, steering, tick_words
from tui.widgets.lines import Line

LOOK = Look()
WISHES = tuple(Wish)


def text_of(lines: Sequence[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def said(server: Server, wish: Wish, snapshot: Snapshot | None = None) -> str:
    """The question as running text, its line breaks taken out."""
    lines = steer_lines(snapshot or servers_snapshot(), server, wish, 96, LOOK)
    return " ".join(text_of(lines).split())


def reason(server: Server | None, wish: Wish, *, read_only: bool = False) -> str:
    return steer_reason(servers_snapshot(), server, wish, read_only)


def stopped(snapshot: Snapshot) -> Server:
    container = ended(sample_container("prod", 1, snapshot.at), snapshot.at, 0)
    return Server("prod", "127.0.0.1:18011", ServerState.STOPPED, launch=launch_in("STOPPED"), container=container)


def test_what_runs_can_be_stopped_restarted_and_removed() -> None:
    prod = running(servers_snapshot())
    assert [wish for wish in WISHES if not reason(prod, wish)] == [Wish.STOP, Wish.RESTART, Wish.REMOVE]
    assert reason(prod, Wish.START) == "prod runs already"


def test_what_is_stopped_can_be_started_and_removed() -> None:
    server = stopped(servers_snapshot())
    assert [wish for wish in WISHES if not reason(server, wish)] == [Wish.START, Wish.REMOVE]
    assert reason(server, Wish.STOP) == "prod does not run"
    assert reason(server, Wish.RESTART) == "prod does not run: o starts it"


def test_what_waits_for_its_next_start_can_be_started_now_or_called_off() -> None:
    for server in (crashed(servers_snapshot()), pulling()):
        assert not reason(server, Wish.STOP)
        assert not reason(server, Wish.START)
        assert reason(server, Wish.RESTART)
    assert reason(pulling(), Wish.REMOVE) == ""
    absent = replace(pulling(), state=ServerState.STOPPED, launch=launch_in("ABSENT"))
    assert reason(absent, Wish.REMOVE) == "next has no container that could be removed"


def test_the_embedded_server_has_no_container_to_remove() -> None:
    demo = servers_snapshot().servers[4]
    assert [wish for wish in WISHES if not reason(demo, wish)] == [Wish.STOP, Wish.RESTART]
    assert reason(demo, Wish.REMOVE) == "demo has no container that could be removed"


@pytest.mark.parametrize("wish", WISHES)
def test_what_makes_every_wish_impossible(wish: Wish) -> None:
    snapshot = servers_snapshot()
    prod = running(snapshot)
    assert reason(None, wish) == "no server is selected"
    assert reason(prod, wish, read_only=True).startswith("prod is watched read-only")
    assert reason(replace(prod, read_only=True), wish).startswith("prod is watched read-only")
    assert reason(remote(snapshot), wish) == "tritop does not run far-box: only its address is known"
    elsewhere = replace(prod, launch=launch_in("READY", supervisor_pid=7))
    assert reason(elsewhere, wish) == "another tritop (process 7) supervises prod: ask there, or end it"
    lost = engine_lost(snapshot)
    assert steer_reason(lost, prod, wish, False) == "the engine cannot be used: The Docker engine does not answer"


def test_a_lost_engine_does_not_keep_the_embedded_server_from_being_stopped() -> None:
    lost = engine_lost(servers_snapshot())
    assert steer_reason(lost, lost.servers[4], Wish.STOP, False) == ""


def test_a_stop_names_what_goes_through_the_server_and_how_long_it_takes() -> None:
    snapshot = servers_snapshot()
    traffic = tuple(replace(one, server="prod") for one in snapshot.traffic)
    text = said(running(snapshot), Wish.STOP, replace(snapshot, traffic=traffic))
    for part in (
        "tritop-prod 010101010101", "1820.4 requests/s go through it", "matrix 1522.2/s", "our traffic to matrix fails",
        "those under way are finished, for up to 45 s.", "It stays stopped until somebody starts it.",
    ):  # fmt: skip
        assert part in text
    assert "not ours" not in text
    plain = replace(running(snapshot), launch=launch_in("READY", command="docker run x"))
    assert "up to its exit time-out, 30 s unless it was given another" in said(plain, Wish.STOP)


def test_each_wish_says_what_becomes_of_the_server() -> None:
    snapshot = servers_snapshot()
    prod = running(snapshot)
    assert "serves nothing until its 4 models are loaded" in said(prod, Wish.RESTART)
    removal = said(prod, Wish.REMOVE)
    assert "Its container is removed, and its log with it" in removal
    assert "those under way are finished" in removal
    assert "those under way" not in said(stopped(snapshot), Wish.REMOVE)
    assert "it serves nothing" in said(stopped(snapshot), Wish.REMOVE)
    assert said(crashed(snapshot), Wish.STOP).endswith("Its next start is called off.")
    assert steer_title(prod, Wish.REMOVE, LOOK) == "Remove prod?"


def test_somebody_elses_container_is_named_with_its_image_and_owner() -> None:
    snapshot = servers_snapshot()
    text = said(foreign(snapshot), Wish.STOP)
    for part in ("triton-llm 020202020202", "nvcr.io/nvidia/tritonserver:26.01-py3", "not made by tritop"):
        assert part in text
    container = sample_container("x", 9, snapshot.at, ours=False, owner="bob@lab")
    assert "made by bob@lab" in said(replace(foreign(snapshot), container=container), Wish.STOP)
    assert tick_words(foreign(snapshot), Wish.STOP, LOOK) == (
        "leave triton-llm alone",
        "stop triton-llm, which is not ours",
    )


def test_only_somebody_elses_container_is_sent_as_confirmed_and_all_by_id() -> None:
    snapshot = servers_snapshot()
    assert steering(running(snapshot), Wish.STOP) == SteerServer("prod", Wish.STOP, False, "01" * 32)
    assert steering(foreign(snapshot), Wish.STOP) == SteerServer("triton-llm", Wish.STOP, True, "02" * 32)
    demo = snapshot.servers[4]
    assert steering(demo, Wish.STOP) == SteerServer("demo", Wish.STOP, False, "")
    unseen = replace(running(snapshot), container=None, launch=launch_in("READY", container_id="ab" * 32))
    assert steering(unseen, Wish.STOP).container_id == "ab" * 32


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_question_is_printable_whatever_the_names(name: str) -> None:
    snapshot = servers_snapshot()
    container = sample_container("x", 1, snapshot.at, name=name, image=name, owner=name, ours=False)
    server = replace(running(snapshot), name=name, container=container)
    for look in (LOOK, Look(ascii=True)):
        for wish in WISHES:
            texts = [steer_title(server, wish, look), *tick_words(server, wish, look)]
            texts += text_of(steer_lines(snapshot, server, wish, 76, look)).splitlines()
            for text in texts:
                assert text.isprintable()
                assert not look.ascii or text.isascii()


def test_a_shell_needs_a_container_that_runs() -> None:
    snapshot = servers_snapshot()
    assert shell_reason(snapshot, running(snapshot), False) == ""
    assert shell_reason(snapshot, None, False) == "no server is selected"
    assert "could change anything" in shell_reason(snapshot, running(snapshot), True)
    assert shell_reason(snapshot, crashed(snapshot), False) == "the container of staging is exited"
    assert shell_reason(snapshot, snapshot.servers[4], False) == "demo is in no container of this host"
    assert "cannot be used" in shell_reason(engine_lost(snapshot), running(snapshot), False)


def test_launching_and_copying_have_their_reasons() -> None:
    snapshot = servers_snapshot()
    assert launch_reason(snapshot, False) == ""
    assert "read-only" in launch_reason(snapshot, True)
    assert "cannot be used" in launch_reason(engine_lost(snapshot), False)
    assert command_reason(running(snapshot)) == ""
    assert "did not start triton-llm" in command_reason(foreign(snapshot))
    assert command_reason(None) == "no server is selected"


def test_the_shell_line_goes_by_the_id_of_the_container() -> None:
    line = shell_line("/usr/bin/docker", "ab" * 32)
    assert line[:6] == ["/usr/bin/docker", "exec", "--interactive", "--tty", "ab" * 32, "sh"]
    assert "exec bash" in line[-1]
    assert "exec sh" in line[-1]
    for wrong in ("", "prod", "--privileged", "ab;rm", "AB" * 32):
        with pytest.raises(ValueError, match="no container id"):
            shell_line("docker", wrong)


@pytest.mark.parametrize(
    ("code", "words", "problem"),
    [
        (0, "", ""),
        (0, "what's next: try docker debug\n", ""),
        (127, "", ""),
        (1, "Error response from daemon: Container abc is not running\n", "Container abc is not running"),
        (126, "\nOCI runtime exec failed: exec failed\n", "OCI runtime exec failed: exec failed"),
    ],
)
def test_a_shell_that_did_not_come_says_why(code: int, words: str, problem: str) -> None:
    """The exit code alone says nothing: it is that of the last command that was typed."""
    assert shell_problem(code, words) == problem
