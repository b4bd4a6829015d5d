"""The screen in a real terminal while its server, its terminal or it itself is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.tmux_terminal import ENDED, Open, TmuxTerminal, then_say
from tests.e2e.triton_calls import infer_tiny, load
from tests.processes import descendants, is_running, parent_of, wait_until
from tests.running_triton import TritonFactory
from tritop.runtimes.ports import free_ports
from tritop.server_spec import Ports

pytestmark = [
    pytest.mark.triton,
    pytest.mark.terminal,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


class DemoFamily:
    """The processes of a demo in a terminal, and what they keep outside of themselves.

    Args:
        terminal: it shows a demo whose server has begun to start.
        folder: the TMPDIR of the demo.
    """

    def __init__(self, terminal: TmuxTerminal, folder: Path) -> None:
        self._folder = folder
        self.pids: list[int] = []
        found: list[int] = []

        def server_runs() -> bool:
            self.pids = [terminal.pid, *descendants(terminal.pid)]
            found[:] = servers_among(self.pids)
            return bool(found)

        wait_until(server_runs, "a tritonserver runs")
        self.server = found[0]
        (word,) = [word for word in words_of(self.server) if "shm-region-prefix-name=" in word]
        self._shared_memory = word.rpartition("=")[2]

    def look_again(self) -> None:
        """Take in the processes that have come since, such as those of instances and of traffic."""
        self.pids = sorted({*self.pids, *descendants(self.pids[0])})

    def left(self) -> list[str]:
        """What is still there of it."""
        memory = [path.name for path in Path("/dev/shm").glob(f"*{self._shared_memory}*")]
        files = [path.name for path in self._folder.iterdir()]
        return [f"pid {pid}" for pid in self.pids if is_running(pid)] + memory + files


def words_of(pid: int) -> list[str]:
    """The command line of a process, empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def servers_among(pids: list[int]) -> list[int]:
    """The tritonservers; a stub that was just forked looks like its server until it becomes itself."""
    servers = [pid for pid in pids if "".join(words_of(pid)[:1]).endswith("/tritonserver")]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [pid for pid in servers if parent_of(pid) not in servers]
    return []


def demo_command(folder: Path, *arguments: str) -> list[str]:
    folder.mkdir()
    return ["env", f"TMPDIR={folder}", sys.executable, "-m", "tritop", "demo", *arguments]


def row(text: str, start: str) -> str:
    return next((line for line in text.splitlines() if line.strip(" ▸").startswith(start)), "")


def flows(text: str) -> bool:
    """Whether traffic is being answered, by the line that tells of it."""
    return re.search(r"in flight +[1-9][\d.]*/s", text) is not None


def look_of(terminal: TmuxTerminal, name: str) -> str:
    """The escape sequences before the name of a model in its row, which give its colour."""
    line = next(line for line in terminal.painted().splitlines() if name in line)
    return line[: line.index(name)]


def test_a_killed_server_of_the_demo_is_said_to_have_crashed_and_comes_back(
    open_terminal: Open, tmp_path: Path
) -> None:
    terminal = open_terminal(then_say(demo_command(tmp_path / "tmp")), 140, 40)
    family = DemoFamily(terminal, tmp_path / "tmp")
    terminal.wait_for("a ready model", lambda text: "READY" in row(text, "matrix"))
    family.look_again()
    os.kill(family.server, signal.SIGKILL)

    text = terminal.wait_for_text("CRASHED")
    assert "It was killed (SIGKILL): by somebody on the host, or by the kernel for want of memory." in text
    assert "exit code 137" in text
    assert "next start in" in text
    assert "last lines of its log" in text
    terminal.wait_for(
        "a ready model and its traffic",
        lambda text: "READY" in row(text, "matrix") and "last read" not in row(text, "matrix") and flows(text),
    )
    assert not is_running(family.server)
    family.look_again()
    wait_until(lambda: len(servers_among(family.pids)) == 1, "there is one server and not two")
    terminal.press("5")
    text = terminal.wait_for_text("server lost")
    assert "server back" in text
    terminal.press("q")
    terminal.wait_for_text(f"{ENDED} 0")
    family.pids.remove(terminal.pid)
    wait_until(lambda: not family.left(), "nothing is left")


def close_terminal(terminal: TmuxTerminal) -> None:
    terminal.close()


def hang_up(terminal: TmuxTerminal) -> None:
    os.kill(terminal.pid, signal.SIGHUP)


@pytest.mark.parametrize("end", [close_terminal, hang_up])
def test_a_demo_whose_terminal_goes_leaves_nothing(
    open_terminal: Open, tmp_path: Path, end: Callable[[TmuxTerminal], None]
) -> None:
    terminal = open_terminal(f"exec {' '.join(demo_command(tmp_path / 'tmp'))}", 100, 30)
    family = DemoFamily(terminal, tmp_path / "tmp")
    terminal.wait_for("a ready model", lambda text: "READY" in row(text, "matrix"))
    family.look_again()
    end(terminal)
    wait_until(lambda: not family.left(), "nothing is left")


def test_two_demos_at_once_do_not_meet_and_one_outlives_the_other(open_terminal: Open, tmp_path: Path) -> None:
    terminal = open_terminal(f"exec {' '.join(demo_command(tmp_path / 'one'))}", 100, 30)
    other = subprocess.Popen(
        demo_command(tmp_path / "other", "--once", "--json"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        family = DemoFamily(terminal, tmp_path / "one")
        terminal.wait_for("a ready model", lambda text: "READY" in row(text, "matrix"))
        family.look_again()
        os.kill(terminal.pid, signal.SIGKILL)
        wait_until(lambda: not family.left(), "nothing is left of the one that was killed")
        stdout, stderr = other.communicate(timeout=120)
    finally:
        other.kill()
        other.wait()
    assert other.returncode == 0, stderr
    (server,) = json.loads(stdout)["servers"]
    assert server["launch"]["pid"] != family.server
    assert {model["name"] for model in server["models"]} == {"matrix", "tiny", "pair", "pipeline", "broken"}
    assert list((tmp_path / "other").iterdir()) == []


def test_a_watched_server_that_hangs_and_one_that_is_killed_and_comes_back(
    open_terminal: Open, make_triton_server: TritonFactory
) -> None:
    ports = free_ports()

    def same_ports() -> Ports:
        return ports

    running = make_triton_server(load=False, pick_ports=same_ports)
    running.run(load(running.endpoint, "tiny"))
    running.run(infer_tiny(running.endpoint, times=3))
    target = f"{running.endpoint.grpc_address}?metrics={running.endpoint.metrics_url}"
    terminal = open_terminal(then_say([sys.executable, "-m", "tritop", target]), 140, 40)
    terminal.wait_for("rates", lambda text: "READY" in row(text, "tiny") and " 0 " in row(text, "tiny"))
    fresh = look_of(terminal, "tiny")

    pid = running.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        terminal.wait_for("its silence", lambda text: "UNRESPONSIVE" in text.splitlines()[0])
        text = terminal.wait_for("the age of its numbers", lambda text: "last read" in row(text, "tiny"))
        assert "no answer" in text
    finally:
        os.kill(pid, signal.SIGCONT)
    terminal.wait_for("its voice", lambda text: "READY" in text.splitlines()[0] and "last read" not in text)

    os.kill(pid, signal.SIGKILL)
    terminal.wait_for("its end", lambda text: "UNREACHABLE" in text.splitlines()[0])
    text = terminal.wait_for("the age of its numbers", lambda text: "last read" in row(text, "tiny"))
    assert "refuses connections" in text
    assert look_of(terminal, "tiny") != fresh, "old numbers are dimmed"

    wait_until(lambda: running.server.launch().exit_code is not None, "its end is known")
    running.run(running.server.start())
    running.run(running.server.wait_live(60.0))
    terminal.wait_for("its return", lambda text: "READY" in text.splitlines()[0])
    running.run(load(running.endpoint, "tiny"))
    terminal.wait_for("rates again", lambda text: " 0 " in row(text, "tiny") and "last read" not in text)
    terminal.wait_for("its former colour", lambda text: look_of(terminal, "tiny") == fresh)
    terminal.press("5")
    text = terminal.wait_for_text("server restarted")
    assert "server lost" in text
    assert "server back" in text
    terminal.press("q")
    terminal.wait_for_text(f"{ENDED} 0")
