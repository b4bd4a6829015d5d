"""The reader says what prometheus_client says, whatever it has read before."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from collectors.exposition import MAX_LINE_BYTES, ExpositionReader
from tritop.errors import Garbled
from tritop.reading import Layout, Series

TRITON = b"""\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="add",version="1"} 3
nv_inference_request_success{model="matrix",version="2"} 1512
# HELP nv_inference_request_failure Number of failed inference requests, all batch sizes
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="add",reason="REJECTED",version="1"} 0
nv_inference_request_failure{model="add",reason="OTHER",version="1"} 2
# HELP nv_inference_request_summary_us Summary of inference request durations in microseconds
# TYPE nv_inference_request_summary_us summary
nv_inference_request_summary_us_count{model="add",version="1"} 3
nv_inference_request_summary_us_sum{model="add",version="1"} 1200
nv_inference_request_summary_us{model="add",version="1",quantile="0.5"} Nan
nv_inference_request_summary_us{model="add",version="1",quantile="0.99"} 412.25
# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.25
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{model="llm",version="1"} 12
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_count{model="llm",version="1"} 2
vllm:time_to_first_token_seconds_sum{model="llm",version="1"} 0.5
vllm:time_to_first_token_seconds_bucket{model="llm",version="1",le="0.001"} 0
vllm:time_to_first_token_seconds_bucket{model="llm",version="1",le="+Inf"} 2
# HELP nv_trt_llm_request_metrics TRT LLM request metrics
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="llm",request_type="waiting",version="1"} 7
"""

Row = tuple[str, str, tuple[tuple[str, str], ...], str, str]


def expected(body: bytes) -> list[Row] | None:
    """What prometheus_client says about a body, or None where it cannot read it."""
    try:
        return [
            (metric.name, sample.name, tuple(sorted(sample.labels.items())), metric.type, number(sample.value))
            for metric in text_string_to_metric_families(body.decode())
            for sample in metric.samples
        ]
    except (ValueError, ArithmeticError, LookupError):
        return None


def number(value: float) -> str:
    """A text that is equal for equal numbers, and for any two NaN."""
    try:
        return repr(float(value) + 0.0)
    except OverflowError:
        return "inf" if value > 0 else "-inf"


def as_prometheus_client_names_it(series: Series) -> tuple[str, str, tuple[tuple[str, str], ...], str]:
    """The renaming of counters in prometheus_client, which the reader takes back."""
    family, name = series.family, series.name
    if series.kind == "counter":
        if family.endswith("_total"):
            family = family.removesuffix("_total")
        else:
            name += "_total"
    return family, name, series.labels, series.kind


def rows(layout: Layout, values: object) -> list[Row]:
    assert isinstance(values, list)
    return [
        (*as_prometheus_client_names_it(series), number(value))
        for series, value in zip(layout.series, values, strict=True)
    ]


def read(reader: ExpositionReader, body: bytes) -> list[Row] | None:
    try:
        layout, values = reader.read(body)
    except Garbled:
        return None
    return rows(layout, list(values))


# --- Two bodies, whatever they are -------------------------------------------------------------

names = st.sampled_from(
    [
        "nv_a",
        "nv_a_total",
        "nv_a_count",
        "nv_a_sum",
        "nv_a_bucket",
        "vllm:b",
        "vllm:b_total",
        "a",
        "a_created",
        "_count",
    ]
)
any_name = st.one_of(names, names, st.sampled_from(['{"nv_a"}', '{"n\\"x\\\\y z"}', '""', "9x", "a b"]))
kinds = st.sampled_from(["counter", "gauge", "summary", "histogram", "untyped", "unknown", "info", "nonsense"])
nasty = st.text(st.sampled_from('ab"\\\n{},= #\t\r\x1b[]\x00\x85\xa0é1_'), max_size=6)


def escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


label_pairs = st.tuples(
    st.sampled_from(["model", "version", "quantile", "le", "gpu_uuid", "__name__"]),
    st.one_of(st.sampled_from(["m1", "m2", "1"]), nasty.map(escaped), nasty),
)
label_texts = st.one_of(
    st.just(""),
    st.lists(label_pairs, max_size=3).map(lambda pairs: "{" + ",".join(f'{k}="{v}"' for k, v in pairs) + "}"),
    st.sampled_from(['{model="a",}', "{}", '{ model = "a" , version="1" }', '{,model="a"}', "{model}", '{model="a"']),
)
numbers = st.one_of(
    st.integers(-5, 5).map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["Nan", "+Inf", "-Inf", "NaN", "1e3", "1_0", "0x1", "", "٣", "9" * 400, "-" + "9" * 400, "1e400", "x"]
    ),
)
blanks = st.sampled_from([" ", " ", " ", " ", "  ", "\t", " \t", "\x0b", "\xa0", ""])
trailers = st.sampled_from(["", "", "", "", "", " ", "\r", " 123456", " 9" + "9" * 400, ' # {id="1"} 0.5', "\t7"])
samples = st.builds("{}{}{}{}{}".format, any_name, label_texts, blanks, numbers, trailers)
plain_samples = st.builds('{}{{model="{}"}} {}'.format, names, st.sampled_from(["m1", "m2"]), st.integers(0, 9))
comments = st.one_of(
    st.builds("# TYPE {} {}".format, any_name, kinds),
    st.builds("# TYPE {} {}".format, names, st.sampled_from(["counter", "gauge", "summary", "histogram"])),
    st.builds("# HELP {} {}".format, any_name, nasty),
    st.sampled_from(
        ["", "#", "# EOF", "# a comment", "  ", "# TYPE", "# TYPE nv_a", '# TYPE "" summary', '# HELP "" x']
    ),
)
lines = st.one_of(plain_samples, plain_samples, plain_samples, samples, comments, comments)
wild_lines = st.text(st.sampled_from('a1 {}",=\\#_\tN.\n'), max_size=12)


def join(parts: list[str]) -> bytes:
    return "\n".join(parts).encode()


good_bodies = st.lists(st.one_of(plain_samples, comments), max_size=12).map(join)
bodies = st.one_of(
    good_bodies,
    st.lists(lines, max_size=12).map(join),
    st.lists(st.one_of(lines, wild_lines), max_size=6).map(join),
    st.binary(max_size=40),
)


@st.composite
def changed(draw: st.DrawFn, body: bytes) -> bytes:
    """The same body with other numbers, and sometimes with other lines or bytes."""
    parts = body.split(b"\n")
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(parts) - 1))
        match draw(st.sampled_from(["value", "value", "value", "value", "drop", "twice", "swap", "line", "byte"])):
            case "value":
                parts[at] = re.sub(rb"[^ ]*$", draw(numbers).encode(), parts[at], count=1)
            case "drop" if len(parts) > 1:
                del parts[at]
            case "twice":
                parts.insert(at, parts[at])
            case "swap":
                other = draw(st.integers(0, len(parts) - 1))
                parts[at], parts[other] = parts[other], parts[at]
            case "line":
                parts[at] = draw(lines).encode()
            case "byte" if parts[at]:
                place = draw(st.integers(0, len(parts[at]) - 1))
                parts[at] = parts[at][:place] + bytes([draw(st.integers(0, 255))]) + parts[at][place + 1 :]
    return b"\n".join(parts)


@settings(max_examples=500, deadline=None)
@example(first=TRITON, second=TRITON.replace(b"Nan", b"17.5"), third=TRITON[:-40])
@example(first=b'# TYPE "" summary\n_count 1', second=b'# TYPE "" summary\n_count 2', third=b"_count 2")
@example(first=b"a 1", second=b"a 1_0", third=b"a " + b"9" * 400)
@example(first=b"a 1 5", second=b"a 1 6", third=b"a 2 6")
@example(first=b"a b{} 0\na b 0", second=b"a b{} 0", third=b"a b{} 0\na b 0")
@example(first=b"  Nan", second=b"  0", third=b"Nan")
@given(first=bodies, second=bodies, third=bodies)
def test_any_bodies_in_a_row_are_read_as_prometheus_client_reads_each(
    first: bytes, second: bytes, third: bytes
) -> None:
    reader = ExpositionReader()
    for body in (first, second, third, first):
        assert read(reader, body) == expected(body)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_changed_body_is_read_as_prometheus_client_reads_it_alone(data: st.DataObject) -> None:
    reader = ExpositionReader()
    body = data.draw(bodies)
    read(reader, body)
    for _ in range(3):
        body = data.draw(changed(body))
        assert read(reader, body) == expected(body)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_layout_is_the_same_object_exactly_while_the_series_are_the_same(data: st.DataObject) -> None:
    reader = ExpositionReader()
    body = data.draw(good_bodies)
    readings = []
    for _ in range(4):
        try:
            readings.append(reader.read(body)[0])
        except Garbled:
            assert expected(body) is None
        body = data.draw(changed(body))
    for before, after in pairwise(readings):
        assert (before is after) == (before.series == after.series)


# --- What a Triton says ------------------------------------------------------------------------


def test_names_are_as_the_server_wrote_them() -> None:
    layout, values = ExpositionReader().read(TRITON)
    by_name = {(series.family, series.name): series for series in layout.series}
    assert by_name["nv_inference_request_success", "nv_inference_request_success"].kind == "counter"
    assert by_name["vllm:prompt_tokens_total", "vllm:prompt_tokens_total"].kind == "counter"
    assert by_name["nv_inference_request_summary_us", "nv_inference_request_summary_us_sum"].kind == "summary"
    buckets = by_name["vllm:time_to_first_token_seconds", "vllm:time_to_first_token_seconds_bucket"]
    assert buckets.kind == "histogram"
    assert buckets.labels == (("le", "+Inf"), ("model", "llm"), ("version", "1"))
    assert layout.series[1].labels == (("model", "matrix"), ("version", "2"))
    assert values[1] == 1512
    assert math.isnan(values[6])
    assert rows(layout, list(values)) == expected(TRITON)


def test_a_new_number_does_not_touch_the_values_that_were_handed_out_before() -> None:
    reader = ExpositionReader()
    layout, before = reader.read(TRITON)
    layout_after, after = reader.read(TRITON.replace(b" 1512\n", b" 1600.5\n").replace(b"Nan", b"3e5"))
    assert layout_after is layout
    assert (before[1], after[1]) == (1512, 1600.5)
    assert math.isnan(before[6])
    assert after[6] == 300_000
    assert reader.read(TRITON.replace(b" 1512\n", b" 1600.5\n").replace(b"Nan", b"3e5"))[1] is after


def test_a_known_series_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ExpositionReader()
    reader.read(TRITON)

    def refuse(_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("collectors.exposition.text_string_to_metric_families", refuse)
    monkeypatch.setattr("collectors.exposition.text_fd_to_metric_families", refuse)
    _, values = reader.read(re.sub(rb"(?m)^([^#\n]+) [\d.]+$", rb"\1 77", TRITON))
    assert list(values).count(77) == len(values) - 1


def test_a_new_model_costs_the_parsing_of_its_own_labels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ExpositionReader()
    reader.read(TRITON)
    parsed: list[str] = []

    def spy(text: str) -> object:
        parsed.append(text)
        return text_string_to_metric_families(text)

    monkeypatch.setattr("collectors.exposition.text_string_to_metric_families", spy)
    new = b'nv_inference_request_success{model="new",version="1"} 1\n# HELP nv_inference_request_failure'
    body = TRITON.replace(b"# HELP nv_inference_request_failure", new)
    assert read(reader, body) == expected(body)
    assert parsed == ['x{model="new",version="1"} 0']


@pytest.mark.parametrize(
    "value",
    [
        'say "hi"',
        "back\\slash",
        "two\nlines",
        "\x1b]0;owned\x07\x1b[31m",
        "[red]markup[/red]",
        "a}b{c,d=e",
        "é☃",
        "x" * 60,
    ],
)
def test_a_label_is_kept_verbatim(value: str) -> None:
    reader = ExpositionReader()
    for count in (1, 2):
        body = f'# TYPE nv_a counter\nnv_a{{model="{escaped(value)}",version="1"}} {count}\n'.encode()
        layout, values = reader.read(body)
        assert layout.series[0].labels == (("model", value), ("version", "1"))
        assert list(values) == [count]


def test_a_series_that_vanishes_and_one_that_is_written_twice() -> None:
    reader = ExpositionReader()
    for body in (b"nv_a 1\nnv_b 2\n", b"nv_b 2\n", b"nv_b 2\nnv_b 3\n", b"nv_b 2\nnv_b 4\n", b""):
        assert read(reader, body) == expected(body)


# --- What nobody should say --------------------------------------------------------------------


def test_a_garbled_body_says_where_and_leaves_the_reader_as_it_was() -> None:
    reader = ExpositionReader(source="http://box:8002/metrics")
    layout, _ = reader.read(TRITON)
    with pytest.raises(Garbled, match=r"^http://box:8002/metrics is not Prometheus text: at line 4, b'nv_in") as caught:
        reader.read(TRITON.replace(b" 1512", b" \x1b[31m"))
    assert "\x1b" not in str(caught.value)
    assert reader.read(TRITON)[0] is layout


@pytest.mark.parametrize("body", [bytes(range(256)) * 4, b"\xff\xfe", b"<!DOCTYPE html><html></html>", b"\x00" * 64])
def test_rubbish_is_garbled(body: bytes) -> None:
    with pytest.raises(Garbled):
        ExpositionReader().read(body)


def test_a_line_longer_than_its_bound_is_garbled_and_not_parsed() -> None:
    with pytest.raises(Garbled, match=f"more than {MAX_LINE_BYTES} bytes"):
        ExpositionReader().read(b'nv_a{model="' + rb"\"" * MAX_LINE_BYTES + b'"} 1\n')


def test_series_beyond_the_bound_are_counted_and_may_change() -> None:
    reader = ExpositionReader(max_series=3)
    for tick in range(3):
        body = "".join(f'nv_a{{model="m{index}"}} {index + tick}\n' for index in range(5)).encode()
        layout, values = reader.read(b"# TYPE nv_a gauge\n" + body + b"# EOF\n")
        assert [series.labels[0][1] for series in layout.series] == ["m0", "m1", "m2"]
        assert list(values) == [tick, tick + 1, tick + 2]
        assert reader.dropped_series == 2
    reader.read(b"nv_a 1\n")
    assert reader.dropped_series == 0
