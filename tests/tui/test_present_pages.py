"""Header, pane, pages, panels and help: what they say for every state that a server can be in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.sample_conditions import Condition
from tests.tui.samples import HOSTILE_NAMES, sample_snapshot
from tritop.model import (
    BatchSize,
    ControlMode,
    ImageLayer,
    Launch,
    ModelVersion,
    Server,
    ServerState,
    Snapshot,
    Source,
    SourceState,
    Traffic,
    TrafficState,
    Verdict,
    VerdictKind,
)
from tui.keys import ACTIONS, Place, Situation
from tui.present.charts import pictures, trend_text
from tui.present.config_text import config_lines
from tui.present.events import event_lines, ledger_lines
from tui.present.footer import footer_line
from tui.present.header import Heading, header_lines
from tui.present.help import help_lines
from tui.present.lines import line_width
from tui.present.look import Look
from tui.present.model_page import model_lines, note_lines
from tui.present.pane import batch_bars, config_parts, stage_bars, stage_total_us, traffic_line
from tui.present.problems import problem_lines
from tui.present.server_page import server_lines
from tui.present.trouble import table_empty_text, trouble_lines, troubled
from tui.present.verdicts import verdict_sentence
from tui.widgets.lines import Line

LOOK = Look()
CONDITIONS: tuple[Condition, ...] = (
    "live", "first", "stale", "unreachable", "hanging", "not triton", "metrics off", "starting", "crashed", "empty",
)  # fmt: skip


class FakePast:
    """Two values of everything."""

    newest = 7

    def __init__(self) -> None:
        self.asked: list[str] = []

    def series(self, server: str, model: ModelVersion, metric: str) -> list[float]:
        self.asked.append(metric)
        return [1.0, 2.0]

    def span_s(self, points: int) -> float:
        return 90.0

    def marks(self, server: str, model: ModelVersion, points: int) -> tuple[tuple[int, str], ...]:
        return ((1, "!"),)


def text_of(lines: Sequence[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def model_named(snapshot: Snapshot, name: str) -> tuple[Server, ModelVersion]:
    server = snapshot.servers[0]
    return server, next(model for model in server.models if model.name == name)


def everything(snapshot: Snapshot, width: int, look: Look) -> list[Line]:
    lines = header_lines(snapshot, Heading("demo"), width, look) + problem_lines(snapshot, look, 9)
    for server in snapshot.servers:
        lines += server_lines(snapshot, server, width, look)
        lines += trouble_lines(server, snapshot.at, width, look, 30)
        for model in server.models:
            traffic = snapshot.traffic[0] if snapshot.traffic else None
            lines += model_lines(snapshot, server, model, traffic=traffic, width=width, look=look)
            lines += note_lines(snapshot, server, model, width=width, look=look)
            lines += config_lines(model, look)
            lines += [traffic_line(model, traffic, width, look)]
    return lines + event_lines(snapshot, width, 9, look) + ledger_lines(snapshot, width, look)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("width", [20, 80, 110, 160])
def test_everything_is_printable_in_every_state(condition: Condition, width: int) -> None:
    snapshot = sample_snapshot(condition=condition, names=HOSTILE_NAMES, models=12, gpus=5, servers=6)
    for line in everything(snapshot, width, LOOK):
        for text, _ in line:
            assert text.isprintable(), text


@pytest.mark.parametrize("condition", CONDITIONS)
def test_ascii_is_ascii(condition: Condition) -> None:
    look = Look(ascii=True)
    snapshot = sample_snapshot(condition=condition, names=HOSTILE_NAMES, models=12, gpus=2)
    for line in everything(snapshot, 120, look) + help_lines(120, look):
        for text, _ in line:
            assert text.isascii(), text


def test_the_header_says_who_and_how() -> None:
    line = text_of(header_lines(sample_snapshot(), Heading("demo"), 140, LOOK))
    for part in ("demo", "● READY", "4 models, 1 failed", "triton 2.51.0", "explicit", "every 1 s", "read 0.1 s ago"):
        assert part in line
    assert line_width(header_lines(sample_snapshot(), Heading("demo"), 140, LOOK)[0]) == 140


def test_the_age_in_the_header_is_that_of_the_servers_own_words() -> None:
    snapshot = sample_snapshot(condition="stale")
    (server,) = snapshot.servers
    sources = (Source("runtime", SourceState.OK, 0.0), *server.sources)
    crashed = replace(snapshot, servers=(replace(server, state=ServerState.CRASHED, sources=sources),))
    assert "read 12 s ago" in text_of(header_lines(crashed, Heading("demo"), 140, LOOK))
    never = replace(snapshot, servers=(replace(server, sources=sources[:1]),))
    assert "not read yet" in text_of(header_lines(never, Heading("demo"), 140, LOOK))


def test_a_narrow_header_keeps_name_and_state() -> None:
    line = text_of(header_lines(sample_snapshot(), Heading("demo"), 20, LOOK))
    assert line.startswith("demo  ● READY")


def test_a_held_picture_and_a_silent_session_are_said() -> None:
    line = text_of(header_lines(sample_snapshot(), Heading("demo", paused_s=12.0, silent_s=9.0), 140, LOOK))
    assert "PAUSED 12 s old" in line
    assert "nothing new for 9 s" in line


def test_a_read_only_session_is_said() -> None:
    assert "read-only" in text_of(header_lines(sample_snapshot(), Heading(read_only=True), 140, LOOK))


def test_many_servers_take_four_lines() -> None:
    lines = header_lines(sample_snapshot(servers=9, condition="unreachable"), Heading(), 140, LOOK)
    assert len(lines) == 4
    assert "and 6 more" in text_of(lines)
    assert "6 READY" in text_of(lines)


def test_before_the_first_snapshot_the_header_waits() -> None:
    from tritop.model import EMPTY_SNAPSHOT

    assert "waiting" in text_of(header_lines(EMPTY_SNAPSHOT, Heading("demo"), 80, LOOK))


def test_a_source_that_is_off_is_a_sentence_and_no_panel() -> None:
    snapshot = sample_snapshot(condition="metrics off")
    assert "--allow-metrics=false" in text_of(problem_lines(snapshot, LOOK, 3))
    assert troubled(snapshot, snapshot.servers[0]) is None


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("unreachable", "cannot be reached"),
        ("hanging", "does not answer"),
        ("not triton", "is not a Triton server"),
        ("starting", "is starting"),
        ("crashed", "ended by itself"),
        ("stale", "does not answer"),
    ],
)
def test_trouble_is_said_in_words(condition: Condition, said: str) -> None:
    snapshot = sample_snapshot(condition=condition, seq=12)
    server = troubled(snapshot, snapshot.servers[0])
    assert server is not None
    assert said in text_of(trouble_lines(server, snapshot.at, 100, LOOK))


def test_a_fault_of_two_sources_is_said_once_with_advice_and_age() -> None:
    snapshot = sample_snapshot(condition="unreachable", seq=12)
    said = text_of(trouble_lines(snapshot.servers[0], snapshot.at, 100, LOOK))
    assert said.count("refuses connections") == 1
    assert "api, metrics: " in said
    assert "Is the server running" in said
    assert "since 12 s, 12 tries" in said


def test_a_launch_shows_its_step_and_the_end_of_its_log() -> None:
    snapshot = sample_snapshot(condition="starting")
    server = snapshot.servers[0]
    assert isinstance(server.launch, Launch)
    log = tuple(f"line {number}" for number in range(100))
    server = replace(server, launch=replace(server.launch, log_tail=log))
    lines = trouble_lines(server, snapshot.at, 100, LOOK, 10)
    said = text_of(lines)
    assert len(lines) == 10
    assert "2 of 5" in said
    assert "loading matrix" in said
    assert "line 99" in said
    assert "line 10\n" not in said


def test_a_pull_shows_each_layer_with_its_bytes_those_under_way_first() -> None:
    snapshot = sample_snapshot(condition="starting")
    server = snapshot.servers[0]
    assert isinstance(server.launch, Launch)
    layers = (
        ImageLayer("aaaaaaaaaaaa", "Pull complete", 9 << 20, 9 << 20),
        ImageLayer("bbbbbbbbbbbb", "Waiting"),
        ImageLayer("cccccccccccc", "Downloading", 1 << 20, 4 << 20),
        ImageLayer("dddddddddddd", "Extracting", 2 << 20, 2 << 20),
        *(ImageLayer(f"e{number}", "Waiting") for number in range(50)),
    )
    server = replace(server, launch=replace(server.launch, layers=layers))
    lines = [text_of([line]).rstrip() for line in trouble_lines(server, snapshot.at, 100, LOOK, 10)]
    assert len(lines) == 10
    begin = next(number for number, line in enumerate(lines) if "cccccccccccc" in line)
    assert lines[begin].endswith(" 1 MiB of 4 MiB")
    assert "Downloading" in lines[begin]
    assert "dddddddddddd Extracting" in lines[begin + 1]
    assert lines[begin + 2].split() == ["bbbbbbbbbbbb", "Waiting"]
    assert lines[-1].strip() == f"and {53 - len(lines[begin:-1])} more"
    assert not any("aaaaaaaaaaaa" in line for line in lines), "it is done, and counted in the step"


def test_a_crash_shows_cause_code_and_next_start() -> None:
    snapshot = sample_snapshot(condition="crashed")
    said = text_of(trouble_lines(snapshot.servers[0], snapshot.at, 100, LOOK))
    assert "signal 11" in said
    assert "exit code 139 · restarted 2 times · next start in 4 s" in said
    assert "Signal (11) received." in said


def test_an_empty_table_says_why() -> None:
    snapshot = sample_snapshot(condition="empty")
    assert "holds no models" in table_empty_text(snapshot, "")
    assert "'xyz'" in table_empty_text(snapshot, "xyz")


def test_a_failed_model_shows_its_whole_reason() -> None:
    snapshot = sample_snapshot()
    server, model = model_named(snapshot, "ranker")
    said = text_of(model_lines(snapshot, server, model, traffic=None, width=100, look=LOOK))
    assert "weights.npz" in said
    assert "/models/ranker/1/model.py(31): initialize" in said


def test_the_model_page_holds_everything() -> None:
    snapshot = sample_snapshot()
    server, model = model_named(snapshot, "matrix")
    said = text_of(
        model_lines(snapshot, server, model, traffic=snapshot.traffic[0], width=80, look=LOOK)
    )  # fmt: skip
    for part in (
        "WHERE THE TIME GOES", "BATCH SIZES, last 10 s", "QUANTILES  60 s quantile", "OUR TRAFFIC", "CONFIGURATION",
        "TENSORS", "VERSIONS", "MEMORY", "client p50 p99", "server mean", "dynamic batching", "22.0 GiB", "p99",
    ):  # fmt: skip
        assert part in said


def test_verdicts_have_a_sentence_each() -> None:
    assert all(verdict_sentence(Verdict(kind)).endswith(".") for kind in VerdictKind)


def test_stages_have_their_share() -> None:
    _, model = model_named(sample_snapshot(), "matrix")
    bars = stage_bars(replace(model, queue_us=300.0, compute_input_us=0.0, compute_infer_us=700.0,
                              compute_output_us=0.0), LOOK)  # fmt: skip
    assert [(bar.label, bar.text, bar.note) for bar in bars] == [
        ("queue", "300us", "30%"), ("input", "0us", "0%"), ("infer", "700us", "70%"), ("output", "0us", "0%"),
    ]  # fmt: skip


def test_an_unknown_stage_is_not_zero() -> None:
    _, model = model_named(sample_snapshot(condition="first"), "matrix")
    assert {bar.text for bar in stage_bars(model, LOOK)} == {"--"}
    assert all(math.isnan(bar.value) for bar in stage_bars(model, LOOK))
    assert stage_total_us(model) is None


sizes_strategy = st.lists(
    st.builds(BatchSize, st.integers(1, 512), st.floats(0.1, 1e4), st.one_of(st.none(), st.floats(1, 1e6)),
              st.floats(0.001, 1)),
    max_size=40, unique_by=lambda size: size.size,
)  # fmt: skip


@given(sizes=sizes_strategy, most=st.integers(1, 12))
def test_batch_sizes_are_grouped_without_losing_any(sizes: list[BatchSize], most: int) -> None:
    _, model = model_named(sample_snapshot(), "matrix")
    bars = batch_bars(replace(model, batch_sizes=tuple(sizes)), most)
    assert len(bars) <= most
    assert sum(bar.value for bar in bars) == pytest.approx(sum(size.share for size in sizes))
    firsts = [int(bar.label.split("-")[0]) for bar in bars]
    assert firsts == sorted(firsts)


def test_a_configuration_in_a_few_words() -> None:
    _, model = model_named(sample_snapshot(), "matrix")
    assert config_parts(model.config, LOOK) == [
        "max batch 32", "dynamic, delay 1.0ms", "preferred 4 8 16", "2 × GPU 0", "python",
    ]  # fmt: skip
    _, model = model_named(sample_snapshot(batching=False), "matrix")
    assert "batching off" in config_parts(model.config, LOOK)


def test_client_and_server_stand_side_by_side() -> None:
    _, model = model_named(sample_snapshot(), "matrix")
    traffic = Traffic(
        "demo", "matrix", "2", TrafficState.RUNNING, concurrency=8, requests_per_s=400.0, p50_us=19e3, p99_us=25e3,
        errors_per_s=2.0, client_bound=True, client_cpu_ratio=0.97,
    )  # fmt: skip
    said = text_of([traffic_line(model, traffic, 200, LOOK)])
    for part in ("×8 in flight", "400.0/s", "client p50 19.0ms p99 25.0ms", "server mean", "2.0 errors/s", "97%"):
        assert part in said
    assert text_of([traffic_line(model, replace(traffic, state=TrafficState.FAILED, fault="no such model"), 200, LOOK)])
    assert traffic_line(model, replace(traffic, state=TrafficState.STOPPED), 200, LOOK) == ()


def test_the_footer_offers_only_what_works() -> None:
    snapshot = sample_snapshot()
    server, model = model_named(snapshot, "matrix")
    known = text_of([footer_line(Place.OVERVIEW, Situation(snapshot, server, model), 160)])
    assert "b traffic" in known
    assert "[ less" not in known
    nothing = text_of([footer_line(Place.OVERVIEW, Situation(), 160)])
    assert "traffic" not in nothing
    assert "q quit" in nothing
    polling = replace(server, control_mode=ControlMode.POLL)
    polled = text_of([footer_line(Place.OVERVIEW, Situation(snapshot, polling, model), 200)])
    assert "(e edit)" in polled, "what the mode forbids is there, and marked"
    assert "(u unload)" in polled
    assert "(" not in text_of([footer_line(Place.OVERVIEW, Situation(snapshot, polling, model), 60)])
    read_only = text_of([footer_line(Place.OVERVIEW, Situation(snapshot, server, model, read_only=True), 160)])
    assert "traffic" not in read_only


@given(width=st.integers(1, 200))
def test_the_footer_fits(width: int) -> None:
    snapshot = sample_snapshot()
    server, model = model_named(snapshot, "matrix")
    assert line_width(footer_line(Place.OVERVIEW, Situation(snapshot, server, model), width)) <= width


def test_help_names_every_action() -> None:
    said = text_of(help_lines(80, LOOK))
    for action in ACTIONS:
        assert action.key_text in said


@given(
    values=st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e9)), max_size=700),
    newest=st.integers(0, 10_000),
    interval_s=st.sampled_from([0.25, 1.0, 2.0, 60.0]),
)
def test_a_trend_has_its_width(values: list[float], newest: int, interval_s: float) -> None:
    assert len(trend_text(values, newest, interval_s, 10, ascii=False)) == 10


def test_a_trend_changes_only_at_its_end_while_time_goes_on() -> None:
    values = [float(number % 17) for number in range(200)]
    one = trend_text(values, 199, 1.0, 10, ascii=False)
    other = trend_text([*values, 3.0], 200, 1.0, 10, ascii=False)
    assert one[:-1] == other[:-1]


def test_only_the_charts_that_fit_are_made() -> None:
    _, model = model_named(sample_snapshot(), "matrix")
    past = FakePast()
    made = pictures(past, "demo", model, 2)
    assert [picture.title for picture in made] == ["REQ/s", "QUEUE"]
    assert past.asked == ["requests_per_s", "queue_us"]
    assert (made[0].maximum, made[0].scale, made[0].marks) == (2.0, "last 90 s, top 2.0", ((1, "!"),))


def test_a_server_page_shows_sources_with_their_age() -> None:
    snapshot = sample_snapshot(condition="stale", gpus=1)
    said = text_of(server_lines(snapshot, snapshot.servers[0], 80, LOOK))
    for part in ("STALE", "12 s old", "no answer, 4 times, for 12 s", "GPU0", "notebook", "LAUNCH", "pid", "vllm:"):
        assert part in said


def test_a_server_that_never_answered_has_a_page() -> None:
    sources = (Source("api", SourceState.WAITING),)
    server = Server("s", "10.0.0.1:8001", ServerState.CONNECTING, sources=sources)
    said = text_of(server_lines(sample_snapshot(), server, 80, LOOK))
    assert "is being asked for the first time" in said
    assert "never read" in said
