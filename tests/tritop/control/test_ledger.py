"""The ledger keeps every entry: several writers, crashes in the middle of a line, full disks, rotation."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import wait_until
from tritop.change import FieldChange
from tritop.cli.run import run
from tritop.control.author import is_running, this_author
from tritop.control.entry import Author, Entry, from_line, new_id, noticed_entry, to_line
from tritop.control.ledger import Ledger, NotRecorded, Tail, with_note
from tritop.control.undo import last_undoable, open_trials
from tritop.model import Event, EventKind

ENDPOINT = "127.0.0.1:8001"


def entry(number: int = 0, kind: EventKind = EventKind.OPERATION, **fields: object) -> Entry:
    made = Entry(
        id=new_id(1000.0 + number),
        at=1000.0 + number,
        kind=kind,
        endpoint=ENDPOINT,
        model="matrix",
        author=this_author(),
        action="edit",
        pbtxt_before=f"max_batch_size: {number}",
        pbtxt_after=f"max_batch_size: {number + 1}",
        succeeded=True,
        outcome="done",
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # the fields of Entry, checked when it is made


texts = st.text(max_size=40)
authors = st.builds(Author, texts, texts, st.integers(0, 2**22), st.integers(0, 2**60), texts)
entries = st.builds(
    Entry,
    id=texts.filter(bool),
    at=st.floats(0, 2**33),
    kind=st.sampled_from(EventKind),
    endpoint=texts,
    server=texts,
    model=texts,
    version=texts,
    author=st.none() | authors,
    action=texts,
    text=texts,
    diff=st.lists(st.builds(FieldChange, texts, texts, texts), max_size=3).map(tuple),
    pbtxt_before=texts,
    pbtxt_after=texts,
    versions_before=st.lists(st.integers(0, 2**63), max_size=3).map(tuple),
    versions_after=st.lists(st.integers(0, 2**63), max_size=3).map(tuple),
    outcome=texts,
    succeeded=st.none() | st.booleans(),
    duration_s=st.none() | st.floats(0, 1e6),
    trial_s=st.none() | st.floats(0, 1e6),
    refers_to=texts,
)


@given(entries)
def test_an_entry_survives_its_line_whatever_a_server_wrote_into_it(one: Entry) -> None:
    line = to_line(one)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert from_line(line) == one


@given(st.binary(max_size=200) | entries.map(to_line), st.integers(0, 200))
def test_a_damaged_line_is_no_entry_and_no_error(line: bytes, cut: int) -> None:
    found = from_line(line[:cut])
    assert found is None or to_line(found).startswith(b'{"id":')


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state" / "tritop")
    written = [entry(number) for number in range(5)]
    for one in written:
        ledger.append(one)
    assert list(Ledger(ledger.folder).entries()) == written
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(ledger.folder.stat().st_mode) == 0o700


def test_every_line_is_one_write_and_on_the_disk_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    write, fsync = os.write, os.fsync

    def spied_write(file: int, line: bytes) -> int:
        calls.append("write")
        return write(file, line)

    def spied_fsync(file: int) -> None:
        calls.append("fsync")
        fsync(file)

    monkeypatch.setattr(os, "write", spied_write)
    monkeypatch.setattr(os, "fsync", spied_fsync)
    Ledger(tmp_path).append(entry())
    assert calls == ["write", "fsync"]


@pytest.mark.parametrize("torn", [b'{"id": "x", "at": 1', b"{}", b"\x00" * 100, b"garbage\n\n"])
def test_what_a_crash_left_costs_no_other_line(tmp_path: Path, torn: bytes) -> None:
    ledger = Ledger(tmp_path)
    first, second = entry(1), entry(2)
    ledger.append(first)
    with ledger.path.open("ab") as file:
        file.write(torn)
    ledger.append(second)
    assert ledger.entries() == (first, second)


def test_a_line_of_a_newer_tritop_is_left_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append(entry(1))
    newer = to_line(entry(2)).replace(b'"kind":"operation"', b'"kind":"teleported"')
    more = to_line(entry(3)).replace(b"{", b'{"mood":"good",', 1)
    ledger.path.write_bytes(ledger.path.read_bytes() + newer + more)
    assert [one.at for one in ledger.entries()] == [1001.0, 1003.0]


def _append_many(folder: str, start: int, count: int, max_bytes: int) -> None:
    ledger = Ledger(Path(folder), max_bytes=max_bytes)
    for number in range(start, start + count):
        ledger.append(entry(number, text="x" * 300))


@pytest.mark.parametrize("max_bytes", [10**9, 20_000])
def test_several_tritops_at_once_lose_nothing(tmp_path: Path, max_bytes: int) -> None:
    """With the small bound they also rotate at once; what is dropped then is dropped from the oldest end."""
    processes = [
        multiprocessing.get_context("spawn").Process(
            target=_append_many, args=(str(tmp_path), 1000 * writer, 40, max_bytes)
        )
        for writer in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = Ledger(tmp_path).entries()
    by_writer = {writer: [one.at for one in found if one.at // 1000 == writer + 1] for writer in range(3)}
    for ats in by_writer.values():
        assert ats == sorted(ats)
        assert len(set(ats)) == len(ats)
    if max_bytes > 10**6:
        assert all(len(ats) == 40 for ats in by_writer.values())
    for path in (tmp_path / "ledger.jsonl", tmp_path / "ledger.1.jsonl"):
        if path.exists():
            assert all(from_line(line) for line in path.read_bytes().splitlines())


def test_rotation_bounds_the_size_and_keeps_what_an_undo_needs(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, max_bytes=8_000)
    trial = entry(0, EventKind.TRIAL_BEGUN, model="tiny", succeeded=None, trial_s=30.0)
    change = entry(1, model="pair")
    undone = entry(2, model="once")
    undo_of_it = entry(3, EventKind.UNDONE, model="once", action="", refers_to=undone.id)
    ledger.append_all((trial, change, undone, undo_of_it))
    for number in range(10, 200):
        ledger.append(entry(number, EventKind.MODEL_RELOADED, author=None, action="", text="y" * 200))
    found = ledger.entries()
    assert open_trials(found, ENDPOINT) == (trial,)
    assert last_undoable(found, ENDPOINT, "pair") == change
    assert last_undoable(found, ENDPOINT, "once") is None
    assert found[-1].at == 1199.0
    size = ledger.path.stat().st_size + ledger.older_path.stat().st_size
    assert size < 3 * 8_000


def test_a_crash_between_the_steps_of_a_rotation_shows_no_entry_twice(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append(entry(1))
    ledger.older_path.write_bytes(ledger.path.read_bytes())
    ledger.append(entry(2))
    assert [one.at for one in ledger.entries()] == [1001.0, 1002.0]


def test_a_read_only_disk_is_said_and_the_entry_kept_until_it_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "state")
    real_open = os.open

    def read_only(path: object, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real_open(str(path), flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        with pytest.raises(NotRecorded, match="Read-only file system") as raised:
            ledger.append(entry(1))
    assert str(ledger.path) in str(raised.value)
    assert "kept until this tritop ends" in with_note("matrix changed.", raised.value)
    assert [one.at for one in ledger.entries()] == [1001.0], "what could not be written is still known"
    assert ledger.unwritten == 1
    ledger.append(entry(2))
    assert [one.at for one in Ledger(ledger.folder).entries()] == [1001.0, 1002.0]
    assert ledger.unwritten == 0


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """A real short write and a real error: RLIMIT_FSIZE ends a write where the file may not grow on."""
    program = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from tests.tritop.control.test_ledger import entry
        from tritop.control.ledger import Ledger, NotRecorded
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        ledger = Ledger(Path(sys.argv[1]))
        ledger.append(entry(1))
        size = ledger.path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        for number in (2, 3):
            try:
                ledger.append(entry(number))
            except NotRecorded as error:
                print(error)
        assert ledger.path.stat().st_size == size, "half a line was left"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ledger.append(entry(4))
        """
    )
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    assert hard == resource.RLIM_INFINITY, "this test needs to raise the limit again"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cannot be written") == 2
    assert [one.at for one in Ledger(tmp_path).entries()] == [1001.0, 1002.0, 1003.0, 1004.0]


def test_a_tritop_that_is_stopped_while_it_holds_the_lock_stops_no_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, lock_timeout_s=0.1)
    ledger.append(entry(1))
    with (tmp_path / "ledger.lock").open("rb+") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(NotRecorded, match="does not let go"):
            ledger.append(entry(2))
    ledger.append(entry(3))
    assert [one.at for one in ledger.entries()] == [1001.0, 1002.0, 1003.0]


def test_two_tritops_that_notice_the_same_thing_record_it_once(tmp_path: Path) -> None:
    seen = Event(5000.0, EventKind.MODEL_RELOADED, "box", "matrix", "1")
    ledger, me = Ledger(tmp_path), this_author()
    other = replace(me, pid=me.pid + 1)
    ledger.append_noticed([noticed_entry(seen, ENDPOINT, me)])
    ledger.append_noticed([noticed_entry(replace(seen, at=5000.7), ENDPOINT, other)])
    ledger.append_noticed([noticed_entry(replace(seen, at=5000.7), "other:8001", other)])
    ledger.append_noticed([noticed_entry(replace(seen, at=5004.0), ENDPOINT, me)])
    ledger.append_noticed([noticed_entry(replace(seen, at=5060.0), ENDPOINT, other)])
    assert [(one.at, one.endpoint) for one in ledger.entries()] == [
        (5000.0, ENDPOINT),
        (5000.7, "other:8001"),
        (5004.0, ENDPOINT),
        (5060.0, ENDPOINT),
    ]
    assert ledger.entries()[0].event().who == ""


def test_a_tail_gives_every_entry_once_also_over_a_rotation(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, max_bytes=5_000)
    tail = Tail(Ledger(tmp_path))
    assert tail.new_entries() == ()
    got: list[float] = []
    for number in range(60):
        ledger.append(entry(number, text="z" * 200))
        got += [one.at for one in tail.new_entries()]
        assert tail.new_entries() == ()
    assert got == [1000.0 + number for number in range(60)]
    assert ledger.older_path.exists()


def test_who_wrote_an_entry_can_be_told_alive_from_dead() -> None:
    me = this_author()
    assert is_running(me) is True
    assert is_running(replace(me, started=me.started + 1)) is False, "another process has that pid by now"
    assert is_running(replace(me, boot_id="before the last boot")) is False
    assert is_running(replace(me, host="elsewhere")) is None
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from tritop.control.author import this_author as me; a = me();"
            "print(a.pid, a.started, flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    pid, started = map(int, child.stdout.readline().split())
    author = replace(me, pid=pid, started=started)
    assert is_running(author) is True
    child.kill()
    wait_until(lambda: is_running(author) is False, "a killed author, not yet waited for, counts as dead")
    child.communicate()


def test_the_verb_lists_what_is_asked_for_and_no_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    now = time.time()
    ledger = Ledger()
    assert ledger.folder == tmp_path / "tritop"
    ledger.append(entry(1, at=now - 7200.0, model="old"))
    ledger.append(entry(2, at=now - 60.0, model="evil\x1b[2J\n", outcome="two\nlines", server="box"))
    ledger.append(entry(3, at=now - 30.0, endpoint="other:8001", succeeded=False))
    assert run(["events", "--since", "1h", "--server", ENDPOINT]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "evil" in line
    assert "\x1b" not in line
    assert str(this_author()) in line
    assert run(["events", "--json", "--model", "matrix"]) == 0
    (document,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (document["endpoint"], document["succeeded"], document["config_after"]) == (
        "other:8001",
        False,
        "max_batch_size: 4",
    )
    assert run(["events", "--since", "yesterday"]) == 2
    assert "--since" in capsys.readouterr().err
    assert run(["events", "--model", "none"]) == 0
    assert "no such event" in capsys.readouterr().err


def test_following_shows_what_another_tritop_adds(tmp_path: Path) -> None:
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "tritop", "events", "--follow", "--json"]
    ledger = Ledger(tmp_path / "tritop")
    ledger.append(entry(1))
    follower = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["id"] == ledger.entries()[0].id
        ledger.append(entry(2))
        assert json.loads(follower.stdout.readline())["id"] == ledger.entries()[1].id
    finally:
        follower.terminate()
        follower.communicate()
    assert follower.returncode == 128 + signal.SIGTERM
