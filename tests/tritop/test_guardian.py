"""The guardian with real processes: nothing of them is left, however they and their parent end."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import LIMIT_S, descendants, is_running, parent_of, wait_until
from tritop.errors import RuntimeFailure
from tritop.runtimes.guarded import Ending, GuardedProcess, Order
from tritop.runtimes.guardian import LogFile, remove_shared_memory


def make_order(folder: Path, script: str, *, log_bytes: int = 1 << 20, leftovers: tuple[Path, ...] = ()) -> Order:
    """A guarded bash in a folder that the guardian removes; its log is outside of that."""
    private = folder / "private"
    private.mkdir()
    return Order(
        command=("bash", "-c", script),
        environment=dict(os.environ),
        log_path=folder / "process.log",
        log_bytes=log_bytes,
        shm_prefix=f"tritop-test-{os.getpid()}-{folder.name}-",
        folder=private,
        leftovers=leftovers,
    )


def run_to_the_end(order: Order) -> Ending:
    async def body() -> Ending:
        process = await GuardedProcess.spawn(order)
        try:
            return await asyncio.wait_for(process.ended(), LIMIT_S)
        finally:
            await process.close()

    return asyncio.run(body())


def test_exit_code_and_output_are_reported_and_the_folders_removed(tmp_path: Path) -> None:
    leftover = tmp_path / "leftover"
    (leftover / "deep").mkdir(parents=True)
    order = make_order(tmp_path, "pwd; echo to stderr >&2; exit 7", leftovers=(leftover,))
    assert run_to_the_end(order) == Ending(exit_code=7)
    assert order.log_path.read_text().split("\n") == [str(order.folder), "to stderr", ""]
    assert stat.S_IMODE(order.log_path.stat().st_mode) == 0o600
    assert not order.folder.exists()
    assert not leftover.exists()


def test_leftovers_stay_when_another_process_goes_on_with_them(tmp_path: Path) -> None:
    leftover = tmp_path / "leftover"
    leftover.mkdir()
    order = make_order(tmp_path, "exit 0", leftovers=(leftover,))

    async def body() -> None:
        process = await GuardedProcess.spawn(order)
        await process.ended()
        process.keep_leftovers()
        await process.close()

    asyncio.run(body())
    assert leftover.is_dir()
    assert not order.folder.exists()


def test_stop_is_graceful_first(tmp_path: Path) -> None:
    order = make_order(tmp_path, "trap 'exit 3' TERM; touch ready; while :; do sleep 0.05; done")

    async def body() -> Ending:
        process = await GuardedProcess.spawn(order)
        await asyncio.to_thread(wait_until, (order.folder / "ready").exists, "the trap is set")
        process.ask_to_stop(LIMIT_S)
        ending = await process.ended()
        await process.close()
        return ending

    assert asyncio.run(body()) == Ending(exit_code=3)


def test_what_ignores_the_signal_is_killed_after_its_grace_with_all_that_it_started(tmp_path: Path) -> None:
    script = "trap '' TERM; setsid sleep 600 & (sleep 600 & wait) & echo $! > child; while :; do sleep 0.05; done"
    order = make_order(tmp_path, script)

    async def body() -> tuple[Ending, list[int]]:
        process = await GuardedProcess.spawn(order)
        await asyncio.to_thread(wait_until, lambda: bool(descendants(process.pid)[2:]), "four descendants run")
        pids = [process.pid, *descendants(process.pid)]
        process.ask_to_stop(0.1)
        ending = await process.ended()
        await process.close()
        return ending, pids

    ending, pids = asyncio.run(body())
    assert ending == Ending(exit_code=-signal.SIGKILL, killed=True)
    assert not [pid for pid in pids if is_running(pid)]


def test_kill_needs_no_event_loop_and_may_be_repeated(tmp_path: Path) -> None:
    order = make_order(tmp_path, "sleep 600")
    process = asyncio.run(GuardedProcess.spawn(order))
    assert is_running(process.pid)
    process.kill()
    process.kill()
    assert not is_running(process.pid)
    assert not order.folder.exists()


def test_a_program_that_is_not_there_is_a_failure_that_leaves_only_what_it_was_not_given_alone(tmp_path: Path) -> None:
    leftover = tmp_path / "leftover"
    leftover.mkdir()
    order = make_order(tmp_path, "")
    missing = Order(("/nowhere/tritonserver",), {}, order.log_path, 1, "", order.folder, (leftover,))
    with pytest.raises(RuntimeFailure, match=r"cannot start /nowhere/tritonserver: .*No such file"):
        asyncio.run(GuardedProcess.spawn(missing))
    assert not order.folder.exists()
    assert leftover.is_dir(), "the next attempt needs it"


def test_a_killed_guardian_takes_the_process_with_it(tmp_path: Path) -> None:
    order = make_order(tmp_path, "exec sleep 600")

    async def body() -> tuple[Ending, int]:
        process = await GuardedProcess.spawn(order)
        os.kill(parent_of(process.pid), signal.SIGKILL)
        ending = await asyncio.wait_for(process.ended(), LIMIT_S)
        await process.close()
        return ending, process.pid

    ending, pid = asyncio.run(body())
    assert ending == Ending(exit_code=None)
    wait_until(lambda: not is_running(pid), "the process is gone")
    assert not order.folder.exists()


PARENT = """
import asyncio, os, sys, time
from pathlib import Path
from tritop.runtimes.guarded import GuardedProcess, Order

async def main():
    folder, leftover, prefix = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    script = f"setsid sleep 600 & echo shared > /dev/shm/{prefix}region; sleep 600"
    order = Order(("bash", "-c", script), dict(os.environ), folder.parent / "log", 1 << 20, prefix, folder, (leftover,))
    process = await GuardedProcess.spawn(order)
    heir = os.fork()  # a child that inherits every descriptor, the connection to the guardian as well
    if heir == 0:
        time.sleep(600)
    print(process.pid, heir, flush=True)
    await process.ended()

asyncio.run(main())
"""


def test_kill_dash_nine_of_the_parent_leaves_nothing(tmp_path: Path) -> None:
    private, leftover = tmp_path / "private", tmp_path / "leftover"
    private.mkdir()
    leftover.mkdir()
    prefix = f"tritop-test-{os.getpid()}-killed-"
    region = Path("/dev/shm") / f"{prefix}region"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(private), str(leftover), prefix], stdout=subprocess.PIPE, text=True
    )
    heir = 0
    try:
        assert parent.stdout is not None
        pid, heir = map(int, parent.stdout.readline().split())
        wait_until(lambda: bool(descendants(pid)) and region.exists(), "the process is at work")
        pids = [pid, *descendants(pid)]
        parent.kill()
        parent.wait()
        wait_until(lambda: not any(is_running(each) for each in pids), "all processes are gone")
        wait_until(lambda: not private.exists() and not leftover.exists(), "the folders are gone")
        assert not region.exists()
    finally:
        parent.kill()
        parent.wait()
        if heir:
            os.kill(heir, signal.SIGKILL)
        if parent.stdout is not None:
            parent.stdout.close()


def test_endless_output_neither_stops_the_process_nor_fills_the_disk(tmp_path: Path) -> None:
    limit = 1 << 17
    order = make_order(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; echo last", log_bytes=limit)
    assert run_to_the_end(order) == Ending(exit_code=0)
    previous = Path(f"{order.log_path}.1")
    assert order.log_path.stat().st_size <= limit
    assert previous.stat().st_size <= limit
    assert order.log_path.read_text().endswith("\nlast\n")


def test_a_full_disk_stops_nothing_and_is_counted(tmp_path: Path) -> None:
    order = make_order(tmp_path, "head -c 300000 /dev/zero; exit 4")
    order.log_path.symlink_to("/dev/full")
    assert run_to_the_end(order) == Ending(exit_code=4, dropped_log_bytes=300000)


@given(pieces=st.lists(st.binary(max_size=40000), max_size=12))
def test_log_file_keeps_the_newest_bytes_within_its_bound(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("log") / "a.log"
    log = LogFile(str(path), 1)
    bound = 65536
    for piece in pieces:
        log.write(piece)
    log.close()
    previous = Path(f"{path}.1")
    kept = (previous.read_bytes() if previous.exists() else b"") + path.read_bytes()
    written = b"".join(pieces)
    assert written.endswith(kept)
    assert path.stat().st_size <= bound
    assert len(kept) == len(written) or len(kept) > bound
    assert log.dropped_bytes == 0


def test_log_of_an_earlier_run_becomes_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"earlier")
    log = LogFile(str(path), 1)
    log.write(b"now")
    log.close()
    assert path.read_bytes() == b"now"
    assert Path(f"{path}.1").read_bytes() == b"earlier"


def test_shared_memory_is_removed_by_its_prefix_only(tmp_path: Path) -> None:
    for name in ("tritop-1-a", "tritop-1-b", "tritop-2-a", "other"):
        (tmp_path / name).touch()
    remove_shared_memory("", str(tmp_path))
    remove_shared_memory("tritop-1-", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "tritop-2-a"]
