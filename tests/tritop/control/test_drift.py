"""What runs against what the file says, and writing the file: links, owners, full disks, other writers."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tritop.control.pbtxt_writer import changed, random_config
from tritop.change import ConfigEdit, DriftState, VersionChoice
from tritop.config import load
from tritop.config.endpoints import resolve_targets
from tritop.control.compare import normalised
from tritop.control.drift import DriftWatch, drift_of, plan_save, save
from tritop.control.edit import apply_edit, as_pbtxt, parse_config
from tritop.control.file_config import as_loaded, file_for
from tritop.control.pbtxt_tree import CannotEdit
from tritop.control.repository import KEPT_BACKUPS, ModelFolder, NotHere, Unreadable, find_model, write_config
from tritop.errors import OperationFailed
from tritop.model import ModelConfig, ModelState, ModelVersion, Server
from tritop.reading import IndexEntry

FILE = """\
# the ranker
backend: "python"  # ours
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
INDEX = (IndexEntry("ranker", "1", "READY", ""),)


def running(file: str = FILE, edit: ConfigEdit | None = None) -> object:
    """What a server makes of a file, and then of an edit of that."""
    config = parse_config(file)
    config.name = config.name or "ranker"
    if not config.instance_group:
        config.instance_group.add(name="ranker", count=1, kind=2)
    config.default_model_filename = "model.py"
    loaded = as_loaded(config, config, completes_itself=False)
    return loaded if edit is None else normalised(apply_edit(loaded, edit))


def write_model(folder: Path, text: str | None = FILE, model: str = "ranker") -> Path:
    (folder / model / "1").mkdir(parents=True)
    (folder / model / "1" / "model.py").write_text("class TritonPythonModel: ...\n")
    path = folder / model / "config.pbtxt"
    if text is not None:
        path.write_text(text)
    return path


edits = st.builds(
    ConfigEdit,
    batching=st.just(True),
    max_batch_size=st.none() | st.sampled_from([8, 16]),
    preferred_batch_sizes=st.none() | st.lists(st.integers(1, 8), unique=True, max_size=3).map(tuple),
    max_queue_delay_us=st.none() | st.integers(0, 2**40),
    preserve_ordering=st.none() | st.booleans(),
    instance_count=st.none() | st.integers(1, 4),
    response_cache=st.none() | st.booleans(),
)
files = st.sampled_from(
    [
        FILE,
        FILE + "dynamic_batching { max_queue_delay_microseconds: 5 }",
        FILE + "dynamic_batching { preferred_batch_size: [ 4, 8 ] }\ninstance_group { kind: KIND_CPU count: 2 }",
        FILE + "optimization { priority: PRIORITY_MAX } response_cache { enable: true }",
    ]
)


@given(files, edits)
def test_the_file_for_an_edit_holds_the_edit_and_nothing_that_the_server_fills_in(text: str, edit: ConfigEdit) -> None:
    file, now = parse_config(text), running(text, edit)
    wanted = file_for(file, now, completes_itself=False)
    assert as_loaded(wanted, now, completes_itself=False) == normalised(now)
    may_be_set = {field.name for field, _ in file.ListFields()}
    may_be_set |= {field.name for field, _ in apply_edit(file, edit).ListFields()}
    may_be_set |= {"instance_group"} if edit.instance_count else set()
    assert {field.name for field, _ in wanted.ListFields()} <= may_be_set
    assert not wanted.HasField("optimization") or wanted.optimization == file.optimization
    again = file_for(wanted, now, completes_itself=False)
    assert again == wanted, "a saved file needs no saving"


def test_one_version_is_said_in_words_where_the_file_names_others() -> None:
    """`version_policy { }` would be every version; none at all is the latest."""
    file = parse_config(FILE + "version_policy { specific { versions: [ 1, 2 ] } }")
    now = running(FILE, ConfigEdit(versions=VersionChoice(latest=1)))
    wanted = file_for(file, now, completes_itself=False)
    assert wanted.version_policy.latest.num_versions == 1
    assert normalised(parse_config("version_policy { }")).version_policy.HasField("all")
    assert normalised(parse_config("")).version_policy.latest.num_versions == 1


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_whatever_runs_is_said_exactly_or_not_at_all(seed: int, completes: bool) -> None:
    random = Random(seed)
    file = random_config(random)
    now = normalised(changed(file, random))
    try:
        wanted = file_for(file, now, completes_itself=completes)
    except CannotEdit:
        return
    made = as_loaded(wanted, now, completes_itself=completes)
    assert made == normalised(now)
    before = as_loaded(file, now, completes_itself=completes)
    for field, value in now.ListFields():
        if getattr(before, field.name) == value and field.name not in {"instance_group", "name"}:
            assert getattr(wanted, field.name) == getattr(file, field.name), field.name


def test_what_the_server_fills_in_for_gpus_and_backends_is_no_drift() -> None:
    file = parse_config(FILE.replace("python", "onnxruntime") + "instance_group [ { kind: KIND_GPU } ]")
    now = normalised(file)
    now.name = "ranker"
    now.instance_group[0].name = "ranker_0"
    now.instance_group[0].gpus.extend([0, 1])
    assert as_loaded(file, now, completes_itself=False) == now
    del now.instance_group[0].gpus[:]
    now.instance_group[0].gpus.append(1)
    assert as_loaded(file, now, completes_itself=False) != now, "one GPU of two was chosen by somebody"
    file = parse_config(FILE.replace("python", "onnxruntime"))
    now = normalised(file)
    now.name = "ranker"
    now.instance_group.add(name="ranker", kind=2, count=2)
    assert as_loaded(file, now, completes_itself=False) == now, "two instances on a CPU are its default"


def test_states(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a")
    assert drift_of("box", "ranker", [tmp_path / "a"], running(), INDEX).state is DriftState.SAME
    edited = running(edit=ConfigEdit(batching=True, max_queue_delay_us=7))
    drift = drift_of("box", "ranker", [tmp_path / "a"], edited, INDEX)
    assert drift.state is DriftState.DRIFTED
    assert ("7", "") in [(one.after, one.before) for one in drift.diff]
    assert "server restarts" in drift.text
    assert drift_of("box", "other", [tmp_path / "a"], edited, INDEX).state is DriftState.NOT_HERE
    assert drift_of("box", "ranker", [], edited, INDEX).state is DriftState.NOT_HERE
    write_model(tmp_path / "b")
    both = drift_of("box", "ranker", [tmp_path / "a", tmp_path / "b"], edited, INDEX)
    assert both.state is DriftState.AMBIGUOUS
    path.write_text("max_batch_size: :")
    assert drift_of("box", "ranker", [tmp_path / "a"], edited, INDEX).state is DriftState.UNREADABLE
    path.unlink()
    os.mkfifo(path)
    assert drift_of("box", "ranker", [tmp_path / "a"], edited, INDEX).state is DriftState.UNREADABLE


@pytest.mark.parametrize("name", ["", ".", "..", "../ranker", "a/b", "a\0b", "/etc"])
def test_a_name_from_a_server_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    write_model(tmp_path / "models")
    with pytest.raises(NotHere):
        find_model([tmp_path / "models" / "x" / ".."], name)


def test_a_watch_compares_again_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path)
    rows = (ModelVersion("ranker", "1", ModelState.READY, config=ModelConfig(pbtxt=as_pbtxt(running()))),)
    watch = DriftWatch(lambda server: [tmp_path] if server == "here" else [])
    servers = [Server("here", "a:1", models=rows), Server("there", "b:1", models=rows)]
    (first,) = watch.look(servers)
    assert (first.server, first.state) == ("here", DriftState.SAME)
    (again,) = watch.look(servers)
    assert again is first
    path.write_text(FILE.replace("max_batch_size: 8", "max_batch_size: 16"))
    (changed_file,) = watch.look(servers)
    assert changed_file.state is DriftState.DRIFTED
    dropped = ModelVersion("ranker", "2", ModelState.UNLOADED, "unloaded")
    path.write_text(FILE)
    (versions,) = watch.look([Server("here", "a:1", models=(*rows, dropped))])
    assert [one.path for one in versions.diff if "version_policy" in one.path], "version 2 would come back"


# -- writing ------------------------------------------------------------------------------


def test_saving_keeps_mode_comments_and_a_backup(tmp_path: Path) -> None:
    path = write_model(tmp_path / "models")
    path.chmod(0o640)
    now = running(edit=ConfigEdit(batching=True, max_queue_delay_us=7))
    saved = save("ranker", [tmp_path / "models"], now, INDEX, backups=tmp_path)
    assert path.read_text() == FILE + "dynamic_batching {\n  max_queue_delay_microseconds: 7\n}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert saved.backup is not None
    assert saved.backup.read_text() == FILE
    assert not saved.backup.is_relative_to(tmp_path / "models"), "a new file beside it would cost a reload"
    assert sorted(one.name for one in path.parent.iterdir()) == ["1", "config.pbtxt"]
    nothing = save("ranker", [tmp_path / "models"], now, INDEX, backups=tmp_path)
    assert nothing.text.startswith("nothing to do")


def test_backups_are_bounded(tmp_path: Path) -> None:
    path = write_model(tmp_path / "models")
    for number in range(KEPT_BACKUPS + 5):
        write_config(find_model([tmp_path / "models"], "ranker"), f"# {number}".encode(), backups=tmp_path)
    kept = sorted((tmp_path / "backups").glob("*/*.bak"))
    assert [one.read_text() for one in kept] == [f"# {number}" for number in range(4, KEPT_BACKUPS + 4)]
    assert path.read_text() == f"# {KEPT_BACKUPS + 4}"


def test_bytes_that_are_no_utf8_stay_what_they_are(tmp_path: Path) -> None:
    path = write_model(tmp_path / "models", None)
    path.write_bytes(b"# caf\xe9\n" + FILE.encode())
    save("ranker", [tmp_path / "models"], running(edit=ConfigEdit(max_batch_size=4)), INDEX, backups=tmp_path)
    assert path.read_bytes() == b"# caf\xe9\n" + FILE.replace("size: 8", "size: 4").encode()


def test_somebody_else_wrote_it_meanwhile(tmp_path: Path) -> None:
    path = write_model(tmp_path / "models")
    found = find_model([tmp_path / "models"], "ranker")
    path.write_text(FILE + "# mine\n")
    with pytest.raises(OperationFailed, match="changed by somebody else"):
        write_config(found, b"new", backups=tmp_path)
    path.unlink()
    with pytest.raises(OperationFailed, match="changed by somebody else"):
        write_config(found, b"new", backups=tmp_path)
    assert not path.exists()


def test_no_link_is_written_through(tmp_path: Path) -> None:
    outside = write_model(tmp_path / "outside")
    models = tmp_path / "models"
    models.mkdir()
    (models / "ranker").symlink_to(outside.parent)
    with pytest.raises(OperationFailed, match="outside of the repository"):
        write_config(find_model([models], "ranker"), b"new", backups=tmp_path)
    (models / "ranker").unlink()
    path = write_model(models, None)
    path.symlink_to(outside)
    with pytest.raises(OperationFailed, match="symbolic link"):
        write_config(find_model([models], "ranker"), b"new", backups=tmp_path)
    path.unlink()
    path.hardlink_to(outside)
    with pytest.raises(OperationFailed, match="hard links"):
        write_config(find_model([models], "ranker"), b"new", backups=tmp_path)
    assert outside.read_text() == FILE
    path.unlink()
    # A repository may itself be a link.
    (tmp_path / "alias").symlink_to(tmp_path / "outside")
    write_config(find_model([tmp_path / "alias"], "ranker"), FILE.encode(), backups=tmp_path)


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_disk_that_takes_nothing_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    path = write_model(tmp_path / "models")
    found = find_model([tmp_path / "models"], "ranker")
    real = os.open

    def refuse(name: object, flags: int, mode: int = 0o777, **options: int) -> int:
        if flags & os.O_CREAT and str(name).endswith(".tmp"):
            raise OSError(code, os.strerror(code))
        return real(str(name), flags, mode, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OperationFailed, match=os.strerror(code)):
        write_config(found, b"new", backups=tmp_path)
    assert path.read_text() == FILE
    assert sorted(one.name for one in path.parent.iterdir()) == ["1", "config.pbtxt"]


def test_a_disk_that_fills_up_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """A real error of a real write: RLIMIT_FSIZE lets no file grow beyond a few bytes."""
    path = write_model(tmp_path / "models")
    program = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from tritop.control.repository import find_model, write_config
        from tritop.errors import OperationFailed
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        folder = Path(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        try:
            write_config(find_model([folder / "models"], "ranker"), b"x" * 5000, backups=folder)
        except OperationFailed as error:
            print(error)
        """
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "cannot be written: File too large" in done.stdout, done.stderr
    assert path.read_text() == FILE
    assert sorted(one.name for one in path.parent.iterdir()) == ["1", "config.pbtxt"]


def test_a_file_whose_owner_cannot_be_kept_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path / "models")
    found = find_model([tmp_path / "models"], "ranker")
    real = os.stat

    def of_somebody_else(name: str, **options: Any) -> os.stat_result:
        status = real(name, **options)
        fields = list(status)
        fields[4] = 4242
        return os.stat_result(fields) if name == "config.pbtxt" else status

    def refuse(file: int, user: int, group: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", of_somebody_else)
        patch.setattr(os, "fchown", refuse)
        with pytest.raises(OperationFailed, match="belongs to user 4242"):
            write_config(found, b"new", backups=tmp_path)
    assert path.read_text() == FILE
    assert sorted(one.name for one in path.parent.iterdir()) == ["1", "config.pbtxt"]


def test_what_cannot_be_said_in_the_file_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "name: 'another'\n" + FILE)
    now = running()
    found, planned = plan_save("ranker", [tmp_path], now, INDEX)
    assert isinstance(found, ModelFolder)
    assert [one.path for one in planned.diff] == ["name"]
    (tmp_path / "ranker" / "config.pbtxt").write_text("{}")
    with pytest.raises(Unreadable, match="no model configuration"):
        plan_save("ranker", [tmp_path], now, INDEX)


def test_versions_are_compared_by_what_is_served(tmp_path: Path) -> None:
    write_model(tmp_path, FILE + "version_policy { all { } }")
    stale = running(FILE + "version_policy { all { } }")
    index = (IndexEntry("ranker", "1", "UNAVAILABLE", "unloaded"), IndexEntry("ranker", "2", "READY", ""))
    drift = drift_of("box", "ranker", [tmp_path], stale, index)
    assert [(one.path, one.after) for one in drift.diff if one.after] == [("version_policy.specific.versions", "2")]
    # Where the file's policy serves the same versions, what a configuration says of its own may be stale.
    said = running(FILE, ConfigEdit(versions=VersionChoice(specific=(1,))))
    assert drift_of("box", "ranker", [tmp_path], said, INDEX).state is DriftState.SAME


def test_the_repository_of_a_target_counts_from_its_config_file(tmp_path: Path) -> None:
    config = tmp_path / "etc" / "tritop.toml"
    config.parent.mkdir()
    config.write_text('[targets.prod]\naddress = "gpu-box"\nrepository = ["../models", "/srv/models"]\n')
    read = load({"config": str(config), "repository": []}, {}, tmp_path)
    (endpoint,) = resolve_targets(read, ["prod"]).endpoints
    assert endpoint.repositories == (str(config.parent / "../models"), "/srv/models")
    flagged = load({"config": str(config), "repository": ["here"]}, {}, tmp_path)
    assert resolve_targets(flagged, ["prod"]).endpoints[0].repositories == ("here",)
    assert resolve_targets(load({}, {}, tmp_path), ["gpu-box"]).endpoints[0].repositories == ()
