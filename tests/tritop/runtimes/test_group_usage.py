"""What a group of processes uses, of real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.processes import wait_until
from tritop.reading import ProcessUsage
from tritop.runtimes.group_usage import GroupWatch

LEADER = """
import os, sys
work = bytearray(os.urandom(1) * (32 << 20))
if os.fork() == 0:
    mine = bytearray(os.urandom(1) * (32 << 20))
    print("both", flush=True)
    while True:
        pass
os.wait()
"""


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", LEADER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "both\n"
            yield process
        finally:
            subprocess.run(["kill", "-9", "--", f"-{process.pid}"], check=True)


def test_leader_and_child_are_counted_together(leader: subprocess.Popen[str]) -> None:
    watch = GroupWatch()
    first = watch.look(leader.pid)
    assert first.cpu_s is not None
    assert first.memory_bytes is not None
    assert first.memory_bytes > 64 << 20, "32 MiB in each"
    assert first.started_at is not None
    assert abs(first.started_at - time.time()) < 60
    least_s = first.cpu_s + 0.05
    wait_until(lambda: (watch.look(leader.pid).cpu_s or 0.0) > least_s, "the busy child's time is counted")


def test_a_member_that_comes_later_is_found_and_no_group_uses_nothing(leader: subprocess.Popen[str]) -> None:
    now = [0.0]
    watch = GroupWatch(monotonic=lambda: now[0])
    assert watch.look(None) == ProcessUsage()
    assert watch.look(2**22 + 1) == ProcessUsage(), "no process has such a pid"
    before = watch.look(leader.pid).memory_bytes
    joined = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, process_group=leader.pid)
    try:
        now[0] += 10.0
        wait_until(lambda: (watch.look(leader.pid).memory_bytes or 0) > (before or 0), "the other one counts")
    finally:
        joined.communicate(b"\n")
