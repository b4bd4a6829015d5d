"""The table of servers, and what stands around it: what Triton says joined with what the engine says."""

from __future__ import annotations

import re
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
    running,
    sample_container,
    servers_snapshot,
)
from tests.tui.samples import HOSTILE_NAMES, sample_snapshot
from tritop.model import Fault, ModelState, ModelVersion, Processes, Server, ServerState, Snapshot, Source, SourceState
from tui.glyphs import glyphs
from tui.present.container_page import about_lines, container_section
from tui.present.filtering import Order
from tui.present.header import Heading, servers_heading
from tui.present.lines import line_width
from tui.present.look import Look
from tui.present.server_page import server_lines
from tui.present.server_words import ports_text, server_why
from tui.present.servers import (
    SERVER_SORT_VALUES,
    cores,
    engine_lines,
    keep_servers,
    ordered_servers,
    server_columns,
    server_rows,
    servers_empty_text,
    shown_first,
)
from tui.situation import Place
from tui.widgets.lines import Line
from tui.widgets.table_layout import header_line, place, row_line

LOOK = Look()


def text_of(lines: Sequence[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def table(snapshot: Snapshot, width: int, look: Look = LOOK) -> list[str]:
    """The table as it stands on the screen."""
    columns = server_columns(snapshot, look, width)
    places = place(columns, width)
    rows = server_rows(snapshot.servers, columns, snapshot, look)
    lines: list[Line] = [((header_line(places, None, glyphs(look.ascii), ascii=look.ascii), ""),)]
    lines += [row_line(places, row, "  ", ascii=look.ascii) for row in rows]
    return text_of(lines).splitlines()


def cells(snapshot: Snapshot, server: Server, width: int = 300) -> dict[str, str]:
    columns = server_columns(snapshot, LOOK, width)
    [row] = server_rows([server], columns, snapshot, LOOK)
    return dict(zip((column.key for column in columns), row.cells, strict=True))


def why(server: Server) -> str:
    return server_why(servers_snapshot(), server, LOOK)


def of_hostile_names(name: str) -> Snapshot:
    """Every text of a container that somebody else chooses is `name`."""
    snapshot = servers_snapshot()
    container = sample_container(
        "x", 1, snapshot.at, name=name, image=name, owner=name, ours=False, gpus=name, networks=(name,),
        ports=((8001, f"{name}:1"),), status=name or "running",
    )  # fmt: skip
    fault = Fault(name, name, name, since=snapshot.at)
    launch = launch_in("BACKOFF", explanation=name, step=name, restart_in_s=1.0, log_tail=(name,), command=name)
    bad = Server(name, name, ServerState.CRASHED, launch=launch, container=container)
    worse = replace(bad, name=f"{name}2", launch=None, sources=(Source("api", SourceState.FAULT, None, fault),))
    return replace(snapshot, servers=(bad, worse), engine=Source(name, SourceState.STALE, 3.0, fault))


def everything(snapshot: Snapshot, width: int, look: Look) -> list[str]:
    lines = [*engine_lines(snapshot, look), servers_heading(snapshot, Heading(), width, look)]
    for server in snapshot.servers:
        lines += about_lines(snapshot, server, width, 30, look)
        lines += server_lines(snapshot, server, width, look)
    return table(snapshot, width, look) + text_of(lines).splitlines()


def test_the_table_at_160_cells() -> None:
    head, prod, llm, staging, following, demo, far = table(servers_snapshot(), 160)
    assert (
        " ".join(head.split()) == "SERVER STATE ON UP RST EXIT REQ/s CPU MEMORY LIMIT IN/s OUT/s GPUS PORTS IMAGE WHY"
    )
    for part in ("prod ", "● READY", "docker", "61 min", "1.8", "3.2 GiB", "8.0 GiB", "1 MiB", "410 KiB"):
        assert part in prod
    assert "18010-18012 tritonserver:26.01-py3" in prod
    assert "none" in llm
    assert "not ours" in llm
    assert staging.split()[1:7] == ["✖", "CRASHED", "docker", "--", "2", "137"]
    assert "starts again in 4 s" in staging
    assert "◐ STARTING" in following
    assert "pulling layer 7 of" in following
    assert "embedded" in demo
    assert "✖ UNREACHABLE remote" in far


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (120, "SERVER STATE ON UP RST EXIT REQ/s CPU MEMORY LIMIT PORTS WHY"),
        (80, "SERVER STATE UP RST EXIT CPU MEMORY WHY"),
        (60, "SERVER STATE UP CPU WHY"),
        (20, "SERVER"),
    ],
)
def test_columns_go_where_there_is_no_room(width: int, titles: str) -> None:
    lines = table(servers_snapshot(), width)
    assert " ".join(lines[0].split()) == titles
    assert all(len(line) <= width for line in lines)


def test_columns_that_nobody_has_anything_for_are_left_out() -> None:
    snapshot = sample_snapshot()
    assert {column.key for column in server_columns(snapshot, LOOK, 200)} == {
        "server", "state", "on", "up", "restarts", "requests", "cpu", "memory", "why",
    }  # fmt: skip
    remote = replace(snapshot, servers=tuple(replace(server, launch=None) for server in snapshot.servers))
    assert {column.key for column in server_columns(remote, LOOK, 200)} == {"server", "state", "on", "requests", "why"}
    prod = replace(snapshot, servers=(running(snapshot),))
    keys = {column.key for column in server_columns(prod, LOOK, 300)}
    assert {"gpus", "limit", "image"} <= keys
    assert "exit" not in keys


def test_an_embedded_server_has_its_own_processes() -> None:
    snapshot = sample_snapshot()
    (demo, *others) = snapshot.servers
    used = Processes(snapshot.at - 300.0, 1.25, 3 << 30)
    snapshot = replace(snapshot, servers=(replace(demo, processes=used), *others))
    row = next(line for line in table(snapshot, 160) if demo.name in line)
    assert "embedded" in row
    assert re.search(r"5 min +0 .* 1\.2 +3\.0 GiB ", row), row


def test_what_is_unknown_is_never_0() -> None:
    snapshot = servers_snapshot()
    bare = replace(
        running(snapshot),
        models=(),
        container=sample_container(
            "prod", 1, snapshot.at, cpu_cores=None, memory_used_bytes=None, received_bytes_per_s=None,
            sent_bytes_per_s=None, started_at=None,
        ),
    )  # fmt: skip
    found = cells(snapshot, bare)
    assert {found[key] for key in ("cpu", "memory", "received", "sent", "up", "requests", "exit")} == {"--"}
    assert cells(snapshot, snapshot.servers[5])["restarts"] == "--"


def test_cores_keep_their_first_digits() -> None:
    assert [cores(number) for number in (None, 0.0, 0.031, 0.999, 14.04)] == ["--", "0.00", "0.03", "1.0", "14.0"]


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ((), ""),
        (((8000, "127.0.0.1:18000"), (8001, "127.0.0.1:18001"), (8002, "127.0.0.1:18002")), "18000-18002"),
        (((8001, "127.0.0.1:40001"), (8002, "127.0.0.1:32770")), "40001,32770"),
        (((8001, "0.0.0.0:8001"), (8001, "[::]:8001")), "*:8001"),
        (((8001, "unreadable"),), ""),
    ],
)
def test_ports_in_few_cells(ports: tuple[tuple[int, str], ...], text: str) -> None:
    assert ports_text(sample_container("x", 1, 0.0, ports=ports)) == text


def test_why_says_how_a_start_goes() -> None:
    assert why(pulling()).startswith("pulling layer 7 of 31, 2.1 GiB of 9.4 GiB, 88.2 MiB/s")
    loading = replace(pulling(), launch=launch_in("STARTING", step="loading matrix", done=2, total=5))
    assert why(loading) == "loading matrix (2 of 5)"


def test_why_joins_what_triton_says_with_what_the_engine_says() -> None:
    snapshot = servers_snapshot()
    prod = replace(running(snapshot), launch=None, state=ServerState.NOT_READY)
    models = tuple(ModelVersion(name, "1", ModelState.FAILED) for name in ("a", "b"))
    loading = ModelVersion("c", "1", ModelState.LOADING)
    assert why(replace(prod, models=(*models, loading))) == (
        "it answers and is not ready: 2 models failed, 1 model loading"
    )
    fault = Fault("no answer", "127.0.0.1:18001 does not answer.", "", since=snapshot.at)
    hanging = replace(prod, state=ServerState.UNRESPONSIVE, sources=(Source("api", SourceState.FAULT, None, fault),))
    assert why(hanging) == "its container runs, Triton does not answer: 127.0.0.1:18001 does not answer."
    assert prod.container is not None
    paused = replace(hanging, container=replace(prod.container, status="paused"))
    assert why(paused) == "its container is paused: docker unpause lets it go on"
    gone = replace(hanging, container=ended(prod.container, snapshot.at, 143))
    assert why(gone) == "ended 95 s ago with exit code 143"
    husk = replace(hanging, container=replace(prod.container, status="created", started_at=None))
    assert why(husk) == "its container is created"


def test_why_names_the_cause_and_the_owner() -> None:
    snapshot = servers_snapshot()
    assert why(crashed(snapshot)) == "starts again in 4 s: It ran out of memory: 8.0 GiB is its limit."
    given_up = replace(crashed(snapshot), state=ServerState.FAILED, launch=launch_in("FAILED", explanation="Bad flag."))
    assert why(given_up) == "Bad flag."
    assert why(foreign(snapshot)) == "not ours"
    container = sample_container("x", 1, snapshot.at, ours=False, owner="bob@lab")
    assert why(replace(foreign(snapshot), container=container)) == "not ours: bob@lab"
    watched = launch_in("READY", explanation="Another tritop (process 7) supervises it; this one only watches.")
    assert why(replace(running(snapshot), launch=watched)).startswith("Another tritop (process 7)")
    assert why(running(snapshot)) == ""


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("width", [20, 80, 160])
def test_nothing_of_a_container_reaches_the_terminal_as_it_is(name: str, width: int) -> None:
    for line in everything(of_hostile_names(name), width, LOOK):
        assert line.isprintable(), line
        assert "\x1b" not in line


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_ascii_is_ascii(name: str) -> None:
    look = Look(ascii=True)
    for snapshot in (of_hostile_names(name), servers_snapshot(), engine_lost(servers_snapshot())):
        for line in everything(snapshot, 120, look):
            assert line.isascii(), line


def test_the_filter_finds_by_every_name() -> None:
    servers = servers_snapshot().servers
    found = {needle: [one.name for one in keep_servers(servers, needle)] for needle in (
        "", "PROD", "crashed", "remote", "26.01", "ada@gpu-box", "exited", "!docker",
    )}  # fmt: skip
    assert found[""] == [one.name for one in servers]
    assert found["PROD"] == ["prod"]
    assert found["crashed"] == found["exited"] == ["staging"]
    assert found["remote"] == ["far-box"]
    assert found["26.01"] == ["prod", "triton-llm", "staging"]
    assert found["ada@gpu-box"] == ["prod", "staging"]
    assert found["!docker"] == ["demo", "far-box"]


def test_the_order_puts_unknown_last_in_both_directions() -> None:
    snapshot = servers_snapshot()

    def names(column: str, descending: bool) -> list[str]:
        return [one.name for one in ordered_servers(snapshot.servers, Order(column, descending), snapshot.at)]

    assert names("", False) == [one.name for one in snapshot.servers]
    assert names("server", False)[0] == "demo"
    assert names("state", False)[0] == "staging"
    assert names("exit", False)[0] == names("exit", True)[0] == "staging"
    assert names("restarts", True)[0] == "staging"
    assert names("restarts", True)[-1] == names("restarts", False)[-1] == "far-box"
    for column in SERVER_SORT_VALUES:
        assert sorted(names(column, False)) == sorted(names(column, True)) == sorted(names("", False))


def test_the_engine_is_told_of_only_where_something_is_wrong() -> None:
    snapshot = servers_snapshot()
    assert engine_lines(snapshot, LOOK) == []
    assert engine_lines(replace(snapshot, engine=None), LOOK) == []
    said = text_of(engine_lines(engine_lost(snapshot), LOOK))
    assert said == (
        "◷ docker no answer for 40 s; what is shown of containers is 41 s old. "
        "The Docker engine does not answer. Is dockerd running?"
    )


def test_the_heading_counts_the_states() -> None:
    line = servers_heading(servers_snapshot(), Heading(), 120, LOOK)
    assert "6 servers  ● 3 READY  ✖ 1 CRASHED  ◐ 1 STARTING  ✖ 1 UNREACHABLE" in text_of([line])
    assert line_width(line) == 120
    assert "read-only" in text_of([servers_heading(servers_snapshot(), Heading(read_only=True), 120, LOOK)])


def test_the_server_page_shows_the_container() -> None:
    snapshot = servers_snapshot()
    said = text_of(server_lines(snapshot, running(snapshot), 160, LOOK))
    for part in (
        "CONTAINER  tritop-prod", "nvcr.io/nvidia/tritonserver:26.01-py3", "010101010101", "by you, with tritop",
        "2 h ago", "61 min ago", "8001 → 127.0.0.1:18011", "bridge", "1.8 cores", "3.2 GiB of 8.0 GiB",
        "1 MiB/s in, 410 KiB/s out", "c copies the command",
    ):  # fmt: skip
        assert part in said
    assert "not by tritop" in text_of(server_lines(snapshot, foreign(snapshot), 160, LOOK))
    assert container_section(snapshot, snapshot.servers[5], 80, LOOK) is None


def test_an_ended_container_says_when_and_how() -> None:
    snapshot = servers_snapshot()
    section = container_section(snapshot, crashed(snapshot), 80, LOOK)
    assert section is not None
    said = text_of(section.lines)
    assert "95 s ago" in said
    assert "137" in said
    assert "cores" not in said


@pytest.mark.parametrize("width", [60, 100, 160])
def test_below_the_table_stands_what_fits(width: int) -> None:
    snapshot = servers_snapshot()
    for server in snapshot.servers:
        lines = about_lines(snapshot, server, width, 12, LOOK)
        assert len(lines) <= 12
        assert all(line_width(line) <= width for line in lines)
    said = text_of(about_lines(snapshot, snapshot.servers[2], width, 30, LOOK))
    for part in ("staging", "It ran out of memory", "exit code 137", "Signal (9) received.", "tritop-staging"):
        assert part in said


def test_an_empty_table_says_what_to_do() -> None:
    snapshot = replace(sample_snapshot(), servers=())
    assert "n launches one" in servers_empty_text(snapshot, "")
    assert servers_empty_text(sample_snapshot(), "x") == "no server holds 'x'; Esc takes the filter away"


def test_the_first_view_is_the_one_that_has_something_to_say() -> None:
    snapshot = servers_snapshot()
    prod, _llm, staging, following, demo, far = snapshot.servers
    asked = replace(following, state=ServerState.CONNECTING)

    def first(*servers: Server, engine: Source | None = snapshot.engine) -> Place | None:
        return shown_first(replace(snapshot, servers=servers, engine=engine))

    assert first(staging, following) is first(staging, far) is Place.SERVERS
    assert first() is Place.SERVERS
    assert first(prod, staging) is first(demo) is first(staging) is Place.OVERVIEW
    assert first(staging, asked) is None
    assert first(engine=None) is None
