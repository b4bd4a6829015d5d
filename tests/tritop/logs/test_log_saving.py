"""Saved logs: where, under which name, and what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tritop.logs.samples import DEFAULT, NOW, read
from tritop.errors import OperationFailed
from tritop.logs import LogLevel, LogLine
from tritop.logs.saving import log_folder, save_log


def test_a_second_log_of_the_same_second_gets_another_name(tmp_path: Path) -> None:
    first = save_log(read(DEFAULT), "demo", NOW, tmp_path)
    second = save_log([], "demo", NOW, tmp_path)
    assert first != second
    assert [line.text for line in read(first.read_bytes().rstrip(b"\n"))] == [line.text for line in read(DEFAULT)]
    assert second.read_text() == ""


@pytest.mark.parametrize(
    ("server", "begin"),
    [("../../etc/passwd", "etc-passwd-2026"), ("127.0.0.1:8001", "127.0.0.1-8001-2026"), ("..", "server-2026")],
)
def test_a_name_from_a_server_stays_in_the_folder(tmp_path: Path, server: str, begin: str) -> None:
    path = save_log([], server, NOW, tmp_path / "new" / "logs")
    assert path.parent == tmp_path / "new" / "logs"
    assert path.name.startswith(begin)


def test_marks_between_runs_are_in_the_file(tmp_path: Path) -> None:
    mark = LogLine(1, 2, LogLevel.PLAIN, "the server was started again: run 2", note=True)
    assert save_log([mark], "demo", NOW, tmp_path).read_text() == "--- the server was started again: run 2 ---\n"


def test_a_folder_that_cannot_be_made_is_an_error_with_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperationFailed, match="cannot be written to"):
        save_log([], "demo", NOW, tmp_path / "file" / "logs")


def test_the_folder_is_that_of_the_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert log_folder() == tmp_path / "tritop" / "logs"
