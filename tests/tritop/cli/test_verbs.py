"""Verbs from end to end, with a session that delivers what the test says."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tritop.live
import tritop.load.command
from tests.tui.samples import FakeSession, sample_series
from tritop import discovery
from tritop.cli import main
from tritop.cli.commands.demo import DemoShown, judge
from tritop.cli.commands.models import ModelsRead
from tritop.cli.terminal import prepare_environment
from tritop.discovery import Discovery
from tritop.endpoint import Endpoint
from tritop.load.command import TrafficOptions
from tritop.model import (
    EMPTY_SNAPSHOT,
    Launch,
    ModelConfig,
    ModelState,
    ModelVersion,
    Server,
    ServerState,
    Snapshot,
    Source,
    SourceState,
    Traffic,
    TrafficState,
)
from tritop.settings import Settings
from tritop.target import Target


class FakeLiveSession(FakeSession):
    """Stands in for LiveSession: notes what it is asked to watch, delivers what was prepared."""

    prepared: Sequence[Snapshot] = ()
    made: FakeLiveSession | None = None

    def __init__(
        self, endpoints: Sequence[Endpoint], *, interval_s: float, first_interval_s: float | None = None, **_: object
    ) -> None:
        super().__init__(self.prepared, interval_s=0.001)
        self.endpoints = tuple(endpoints)
        self.asked_interval_s = interval_s
        FakeLiveSession.made = self


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeLiveSession]:
    """Every verb watches a FakeLiveSession, away from this machine's configuration."""
    for variable in [name for name in os.environ if name.startswith(("TRITOP_", "XDG_CONFIG"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tritop.live, "LiveSession", FakeLiveSession)
    monkeypatch.setattr(FakeLiveSession, "prepared", sample_series(3, failing=False))
    monkeypatch.setattr(FakeLiveSession, "made", None)
    return FakeLiveSession


def made() -> FakeLiveSession:
    assert FakeLiveSession.made is not None
    return FakeLiveSession.made


# -- watch ------------------------------------------------------------------------------


def test_once_prints_a_table_of_the_window(live: type[FakeLiveSession], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--once", "-d", "2", "gpu-box", "gpu-box"]) == 0
    out, err = capsys.readouterr()
    assert "rates over 1 s" in out
    assert err == ""
    assert [endpoint.name for endpoint in made().endpoints] == ["gpu-box", "gpu-box#2"]
    assert made().asked_interval_s == 2.0
    assert made().stopped == 1


def test_json_alone_means_once(live: type[FakeLiveSession], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "gpu-box"]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out)["servers"][0]["name"] == "demo"


def test_a_failed_model_is_unhealthy(live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "prepared", sample_series(3, failing=True))
    assert main(["--json", "gpu-box"]) == 1


def test_an_unreachable_target_exits_3_and_says_why_on_both_streams(
    live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "prepared", sample_series(1, condition="unreachable"))
    assert main(["--json", "gpu-box"]) == 3
    out, err = capsys.readouterr()
    faults = [source["fault"] for source in json.loads(out)["servers"][0]["sources"]]
    assert faults[0]["sentence"] in err
    assert faults[0]["advice"] in err


def test_a_bug_in_the_session_shows_and_exits_1(
    live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bug = replace(EMPTY_SNAPSHOT, bug="Traceback: it broke\n")
    monkeypatch.setattr(live, "prepared", [bug])
    assert main(["--ndjson", "gpu-box"]) == 1
    assert "it broke" in capsys.readouterr().err


def test_ndjson_ends_with_its_reader(
    live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class FakeClosedPipe(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return os.dup(2)

    monkeypatch.setattr(sys, "stdout", FakeClosedPipe())
    assert main(["--ndjson", "gpu-box"]) == 141
    assert capfd.readouterr().err == ""
    assert made().stopped == 1


def test_without_a_terminal_there_is_no_screen(
    live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gpu-box"]) == 2
    assert "is not a terminal" in capsys.readouterr().err
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert main(["gpu-box"]) == 2
    assert "TERM=dumb" in capsys.readouterr().err
    assert live.made is None


def test_a_wrong_setting_is_named_before_anything_is_read(
    live: type[FakeLiveSession], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tritop.toml").write_text("intervall = 1")
    assert main(["--once", "gpu-box"]) == 2
    assert "Did you mean interval?" in capsys.readouterr().err
    assert live.made is None


def test_headers_and_read_only_reach_the_endpoint(
    live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEY", "hunter2")
    main(["--once", "--json", "gpu-box", "--header", "triton-grpc-protocol-admin=env:KEY", "--readonly"])
    (endpoint,) = made().endpoints
    assert endpoint.headers == (("triton-grpc-protocol-admin", "hunter2"),)
    assert endpoint.read_only
    assert "hunter2" not in "".join(capsys.readouterr())


# -- discovery --------------------------------------------------------------------------


def test_without_a_target_this_host_is_searched(live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch) -> None:
    found = Discovery((Target("127.0.0.1", 9001, 9000, "http://127.0.0.1:9002/metrics"),))
    monkeypatch.setattr(discovery, "discover", lambda: found)
    assert main(["--once"]) == 0
    assert [endpoint.grpc_address for endpoint in made().endpoints] == ["127.0.0.1:9001"]


def test_finding_nothing_says_what_was_tried_and_exits_3(
    live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(discovery, "discover", lambda: Discovery((), ("127.0.0.1:8001: nobody listens",)))
    assert main(["--once"]) == 3
    err = capsys.readouterr().err
    assert "127.0.0.1:8001: nobody listens" in err
    assert "tritop demo" in err
    Path("tritop.toml").write_text("[targets.prod]\naddress = 'gpu-box'")
    assert main(["--once"]) == 3
    assert "tritop prod" in capsys.readouterr().err


def test_a_verb_with_a_slip_in_it_is_pointed_out(
    live: type[FakeLiveSession], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--once", "modles"])
    assert "the verb is spelled 'models'" in capsys.readouterr().err
    main(["--once", "gpu-box:8000"])
    assert "8000 is Triton's HTTP port" in capsys.readouterr().err


# -- models -----------------------------------------------------------------------------


def test_models_as_table_and_json(live: type[FakeLiveSession], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "gpu-box"]) == 0
    table = capsys.readouterr().out
    assert main(["models", "--json", "gpu-box"]) == 0
    models = json.loads(capsys.readouterr().out)["servers"][0]["models"]
    assert len(models) == len(table.strip().splitlines()) - 2
    assert all(endpoint.metrics_url == "" for endpoint in made().endpoints)


def test_models_waits_for_configurations_as_long_as_more_of_them_come() -> None:
    def read(*known: bool, state: SourceState = SourceState.OK) -> Snapshot:
        models = tuple(
            ModelVersion(str(number), "1", ModelState.READY, config=ModelConfig() if one else None)
            for number, one in enumerate(known)
        )
        server = Server("a", "a:8001", models=models, sources=(Source("api", state),))
        return replace(EMPTY_SNAPSHOT, servers=(server,))

    known = ModelsRead()
    assert not known(read(state=SourceState.WAITING))
    assert not known(read(False, False))
    assert not known(read(True, False))
    assert known(read(True, True))
    restricted = ModelsRead()
    assert not restricted(read(False))
    assert restricted(read(False))


# -- info and completion ----------------------------------------------------------------


def test_info_shows_every_origin_and_no_secret(
    live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEY", "hunter2")
    monkeypatch.setenv("TRITOP_THEME", "light")
    Path("tritop.toml").write_text(
        "ascii = true\n[thresholds]\npending = [1, 2]\n"
        "[targets.prod]\naddress = 'gpu-box'\nread_only = true\nheaders = {x = 'env:KEY', y = 'env:ABSENT'}\n"
    )
    assert main(["info", "-d", "2"]) == 0
    text = capsys.readouterr().out
    assert main(["info", "-d", "2", "--json"]) == 0
    printed = capsys.readouterr().out
    assert "hunter2" not in text + printed
    document: dict[str, Any] = json.loads(printed)
    origins = {setting["key"]: (setting["value"], setting["origin"]) for setting in document["settings"]}
    path = str(Path("tritop.toml").resolve())
    assert origins["interval"] == (2.0, "--interval")
    assert origins["theme"] == ("light", "$TRITOP_THEME")
    assert origins["ascii"] == (True, path)
    assert origins["mouse"] == (True, "default")
    assert document["config_file"] == path
    assert [place["reason"] for place in document["config_places"]] == ["this folder", "this user", "this machine"]
    (target,) = document["targets"]
    assert target["headers"] == [
        {"name": "x", "from": "env:KEY", "state": "set"},
        {"name": "y", "from": "env:ABSENT", "state": "not set"},
    ]
    assert {"key": "read_only", "value": True, "origin": f"targets.prod in {path}"} in target["settings"]
    for shown in ("$TRITOP_THEME", "--interval", "env:KEY, set", "env:ABSENT, not set", "1, 2", "in use"):
        assert shown in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_verbs_options_and_files(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("models", "demo", "traffic", "ndjson", "tls-server-name"):
        assert word in script
    assert {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "/f/"}[shell] in script


# -- traffic ----------------------------------------------------------------------------


@pytest.fixture
def sent(live: type[FakeLiveSession], monkeypatch: pytest.MonkeyPatch) -> list[tuple[Endpoint, TrafficOptions]]:
    """What `tritop traffic` would have sent, and where to."""
    calls: list[tuple[Endpoint, TrafficOptions]] = []

    def run(endpoint: Endpoint, options: TrafficOptions) -> int:
        calls.append((endpoint, options))
        return 0

    monkeypatch.setattr(tritop.load.command, "run", run)
    return calls


def test_traffic_options(sent: list[tuple[Endpoint, TrafficOptions]]) -> None:
    assert main(["traffic", "matrix", "-u", "gpu-box", "--concurrency", "8", "--duration", "2"]) == 0
    line = "--json traffic matrix --version 2 --rate 50.5 --poisson --duration 3 --warmup 0 --batch 4 --shape x:1,2"
    assert main([*line.split(), "--input", "a.json", "--url=gpu-box:9001"]) == 0
    assert [endpoint.grpc_address for endpoint, _ in sent] == ["gpu-box:8001", "gpu-box:9001"]
    assert [options for _, options in sent] == [
        TrafficOptions("matrix", concurrency=8, duration_s=2.0),
        TrafficOptions(
            "matrix",
            version="2",
            rate_per_s=50.5,
            poisson=True,
            duration_s=3.0,
            warmup_s=0.0,
            batch=4,
            shapes=(("x", (1, 2)),),
            input_path="a.json",
            as_json=True,
        ),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("traffic --concurrency 1 --duration 1", "MODEL"),
        ("traffic matrix --duration 1", "--concurrency --rate is required"),
        ("traffic matrix --concurrency 1", "--duration"),
        ("traffic matrix --concurrency 1 --rate 1 --duration 1", "not allowed with"),
        ("traffic matrix --concurrency many --duration 1", "many"),
        ("traffic matrix --concurrency 1 --duration 1 --shape x", "not the shape"),
        ("traffic matrix --concurrency 1 --duration 1 -u a -u b", "traffic goes to one server"),
    ],
)
def test_what_traffic_cannot_do_is_said(
    sent: list[tuple[Endpoint, TrafficOptions]], line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert said in capsys.readouterr().err
    assert sent == []


@pytest.mark.parametrize(
    "line", ["traffic m --read-only -u gpu-box", "--readonly traffic m -u prod", "traffic m -u prod"]
)
def test_a_server_that_is_only_to_be_read_gets_no_traffic(
    sent: list[tuple[Endpoint, TrafficOptions]], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tritop.toml").write_text("[targets.prod]\naddress = 'gpu-box'\nread_only = true\n")
    assert main([*line.split(), "--concurrency", "1", "--duration", "1"]) == 1
    out, err = capsys.readouterr()
    assert "is watched read-only: no traffic was sent." in err
    assert (out, sent) == ("", [])


# -- the demo ---------------------------------------------------------------------------


def demo(seconds: float, requests_per_s: float = 100.0, **changes: Any) -> Snapshot:
    model = ModelVersion("matrix", "1", ModelState.READY, requests_per_s=requests_per_s)
    server = Server("demo", "127.0.0.1:1", changes.pop("state", ServerState.NOT_READY), models=(model,))
    traffic = Traffic("demo", "matrix", "", changes.pop("traffic", TrafficState.RUNNING), **changes)
    return replace(EMPTY_SNAPSHOT, mono=seconds, servers=(server,), traffic=(traffic,))


def test_the_demo_is_shown_once_its_traffic_has_flowed_for_a_while() -> None:
    shown = DemoShown()
    assert not shown(replace(EMPTY_SNAPSHOT, servers=(Server("demo", "", ServerState.STARTING),)))
    assert not shown(demo(10.0, requests_per_s=0.0))
    assert not shown(demo(11.0))
    assert not shown(demo(12.0))
    assert shown(demo(14.0))
    assert judge(demo(14.0)) == 0


def test_a_demo_that_cannot_go_on_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    stuck = demo(1.0, requests_per_s=0.0, traffic=TrafficState.FAILED, fault="the generator died.")
    assert DemoShown()(stuck)
    assert judge(stuck) == 1
    assert "the generator died." in capsys.readouterr().err
    given_up = demo(1.0, state=ServerState.FAILED)
    launch = Launch("local", "FAILED", explanation="it was killed by signal 9.")
    given_up = replace(given_up, servers=(replace(given_up.servers[0], launch=launch),))
    assert DemoShown()(given_up)
    assert judge(given_up) == 1
    assert "it was killed by signal 9." in capsys.readouterr().err
    assert not DemoShown()(demo(1.0, state=ServerState.CRASHED, requests_per_s=0.0)), "it is started again"
    assert judge(demo(1.0, requests_per_s=0.0)) == 1


# -- the screen's environment -----------------------------------------------------------


def test_textual_is_told_before_it_is_imported() -> None:
    environ = {"TEXTUAL_FPS": "30"}
    prepare_environment(Settings(low_bandwidth=True, color=False, theme="ansi-dark"), environ)
    assert environ == {
        "TEXTUAL_FPS": "30",
        "TEXTUAL_ANIMATIONS": "none",
        "TEXTUAL_SMOOTH_SCROLL": "0",
        "TEXTUAL_COLOR_SYSTEM": "standard",
        "NO_COLOR": "1",
    }
    plain: dict[str, str] = {}
    prepare_environment(Settings(), plain)
    assert plain == {"TEXTUAL_ANIMATIONS": "none"}
