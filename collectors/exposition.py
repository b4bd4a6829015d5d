"""Prometheus text: read once with prometheus_client's parser, re-read without parsing it again.

`prometheus_client.parser` is the grammar, and the only one. It needs 14 us a sample, which is
0.7 s for a server with 1000 models, while two scrapes of such a server differ in numbers only.
So `ExpositionReader` remembers the lines of the last body. As long as every changed line differs
from its predecessor after its last space alone, the new numbers are taken from there, by
functions that loop in C. Any other difference makes the reader learn the body again.

Learning uses two properties of that parser to stay cheap when one model comes or goes:

* A sample line means the same wherever it stands, so its labels are parsed once for each
  distinct text between the braces, however many families and scrapes it occurs in.
* Which family a sample belongs to depends on comment lines and sample names only, so the parser
  is given a skeleton: the comment lines, and one line for each run of samples of one name.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from itertools import compress, islice
from operator import ne

from tritop.bare_package import bare_package
from tritop.errors import Garbled
from tritop.reading import Layout, Series

# The package brings an HTTP server and a registry, at a third of the time in which tritop can answer.
with bare_package("prometheus_client"):
    from prometheus_client.parser import text_fd_to_metric_families, text_string_to_metric_families
    from prometheus_client.samples import Sample

MAX_SERIES = 200_000
"""Default bound on the series that are kept of one exposition."""
MAX_LINE_BYTES = 16 * 1024
"""Bound on one line: the parser's time grows with the square of the quotes in a label."""

Labels = tuple[tuple[str, str], ...]

_GRAMMAR_ERRORS = (ValueError, ArithmeticError, LookupError)
"""What prometheus_client's parser raises for text that it cannot read."""
_UNCHANGEABLE = b"\n"
"""Stands for a line that must stay as it is: no line begins with a line feed."""
_PLAIN_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
"""A metric name that needs no quotes (Prometheus data model, legacy names)."""


class ExpositionReader:
    """Reads the expositions of one server, one after the other.

    Args:
        source: what the sentence of an error calls the exposition.
        max_series: series beyond this number are left out and counted in `dropped_series`;
            those that the server lists first are kept.
    """

    def __init__(self, *, source: str = "the exposition", max_series: int = MAX_SERIES) -> None:
        self._source = source
        self._max_series = max_series
        self._known = _KnownBody()
        self._labels_by_text: dict[str, Labels | None] = {}
        self.dropped_series = 0

    def read(self, body: bytes) -> tuple[Layout, array[float]]:
        """Read one exposition.

        Args:
            body: Prometheus text format 0.0.4, UTF-8.

        Returns:
            The series in the order of the body, and their values: `values[i]` belongs to
            `layout.series[i]`. Names, labels, kinds and values are what
            `prometheus_client.parser.text_string_to_metric_families` gives for this body, but
            for the names of counters: that parser writes `_total` behind the name of a counter's
            samples and takes it from the name of its family; here both are as the server wrote
            them. Integers that no float can hold are infinite. The layout is the same object for
            as long as the series stay the same. Do not change the values: when no number
            changed, the next call returns the same array.

        Raises:
            Garbled: the body is not UTF-8, prometheus_client cannot read it, or a line is longer
                than `MAX_LINE_BYTES`. The reader goes on from the last good body.
        """
        lines = body.split(b"\n")
        values = self._known.reread(lines)
        if values is None:
            self._known = self._learn(body, lines)
            values = self._known.values
        kept = len(self._known.lines)
        self.dropped_series = sum(map(_looks_like_sample, islice(lines, kept, None)))
        return self._known.layout, values

    def _learn(self, body: bytes, lines: list[bytes]) -> _KnownBody:
        try:
            texts = body.decode()
        except UnicodeDecodeError as error:
            raise Garbled(f"{self._source} is not UTF-8: byte {error.start} is {body[error.start]:#04x}.") from error
        if max(map(len, lines)) > MAX_LINE_BYTES:
            raise Garbled(f"{self._source} has a line of more than {MAX_LINE_BYTES} bytes.")
        lesson = _Lesson(self._labels_by_text)
        for line, text in zip(lines, texts.split("\n"), strict=True):
            lesson.add(line, text.strip())
            if lesson.samples == self._max_series:
                break
        try:
            known = lesson.finish(lines, self._known.layout)
        except _GRAMMAR_ERRORS as error:
            number = lesson.line_number_of_error
            excerpt = lines[number - 1][:80]
            raise Garbled(f"{self._source} is not Prometheus text: at line {number}, {excerpt!r}.") from error
        self._labels_by_text = lesson.labels_by_text
        return known


@dataclass(slots=True)
class _KnownBody:
    """The last body, line by line, and what it said."""

    lines: list[bytes] = field(default_factory=list)
    """All lines up to the last sample that is kept."""
    line_count: int = -1
    """Lines of the whole body."""
    keys: list[bytes] = field(default_factory=list)
    """For each line, what stands before its value; `_UNCHANGEABLE` where that is not enough."""
    value_slices: list[slice] = field(default_factory=list)
    """For each line, where its value stands."""
    positions: list[int] = field(default_factory=list)
    """For each line, the position of its series, -1 where it has none."""
    layout: Layout = field(default_factory=lambda: Layout(()))
    values: array[float] = field(default_factory=lambda: array("d"))

    def reread(self, lines: list[bytes]) -> array[float] | None:
        """Take the values of a body that differs in values only; `None` where it does not."""
        if len(lines) != self.line_count:
            return None
        changed = list(map(ne, lines, self.lines))
        if not any(changed):
            return self.values
        new = list(compress(lines, changed))
        if not all(map(bytes.startswith, new, compress(self.keys, changed))):
            return None
        numbers = _floats([line[place] for line, place in zip(new, compress(self.value_slices, changed), strict=True)])
        if numbers is None:
            return None
        values = self.values[:]
        for position, number in zip(compress(self.positions, changed), numbers, strict=True):
            values[position] = number
        self.lines = lines[: len(self.lines)]
        self.values = values
        return values


class _Lesson:
    """One pass over a body whose layout is new.

    Args:
        labels_by_text: labels that the last lesson parsed, by the text they are written as.
    """

    def __init__(self, labels_by_text: dict[str, Labels | None]) -> None:
        self.labels_by_text: dict[str, Labels | None] = {}
        self.line_number_of_error = 1
        self._known_labels = labels_by_text
        self._skeleton: list[str] = []
        self._skeleton_line_numbers: list[int] = []
        self._run_names: list[str] = []
        self._name: str | None = None
        self._runs: list[int] = []  # for each line; -1 where it is no sample
        self._keys: list[bytes] = []
        self._labels: list[Labels] = []  # for each sample, as the values
        self._values = array("d")

    @property
    def samples(self) -> int:
        """How many sample lines were added."""
        return len(self._labels)

    def add(self, line: bytes, text: str) -> None:
        """Learn one line; `text` is the same line, decoded and stripped."""
        if not text or text[0] == "#":
            self._add_verbatim(text)
            return
        head, _, digits = line.rpartition(b" ")
        value = _float(digits) if " " in text else None  # a line without one can be a sample too: `Nan`
        if value is not None:
            name, brace, rest = text.rpartition(" ")[0].partition("{")
            labels = self._labels_of(brace + rest) if _PLAIN_NAME.fullmatch(name) else None
            if labels is not None:
                self._add_sample(name, labels, value, head + b" ")
                return
        sample = _parse_alone(text)
        if sample is None:
            self._add_verbatim(text)
        else:
            # With one number on the line, and that after the last space, nothing else can have
            # changed when the rest of the line has not. A second number is a time stamp.
            key = _UNCHANGEABLE if value is None or sample.timestamp is not None else head + b" "
            self._add_sample(sample.name, _sorted_labels(sample), _as_float(sample.value), key)

    def finish(self, lines: list[bytes], layout: Layout) -> _KnownBody:
        """Sort the samples into their families; keeps `layout` where its series are the same.

        Raises:
            ValueError: or another of `_GRAMMAR_ERRORS`, as prometheus_client does for this body.
        """
        families = self._families()
        series: list[Series] = []
        values = array("d")
        positions: list[int] = []
        samples = zip(self._labels, self._values, strict=True)
        for run in self._runs:
            position = -1
            if run >= 0:
                labels, value = next(samples)
                if run in families:
                    position = len(series)
                    family, kind = families[run]
                    series.append(Series(family, self._run_names[run], labels, kind))
                    values.append(value)
            positions.append(position)
        keys = [_UNCHANGEABLE if position < 0 else key for key, position in zip(self._keys, positions, strict=True)]
        slices = {length: slice(length, None) for length in set(map(len, keys))}
        return _KnownBody(
            lines=lines[: len(keys)],
            line_count=len(lines),
            keys=keys,
            value_slices=[slices[len(key)] for key in keys],
            positions=positions,
            layout=layout if layout.series == tuple(series) else Layout(tuple(series)),
            values=values,
        )

    def _add_verbatim(self, text: str) -> None:
        """Leave a line to the skeleton: a comment, or what cannot be read by itself."""
        self._name = None
        self._extend_skeleton(text)
        self._runs.append(-1)
        self._keys.append(_UNCHANGEABLE)

    def _add_sample(self, name: str, labels: Labels, value: float, key: bytes) -> None:
        if name != self._name:
            self._name = name
            self._extend_skeleton(f"{_written(name)} {len(self._run_names)}")
            self._run_names.append(name)
        self._runs.append(len(self._run_names) - 1)
        self._keys.append(key)
        self._labels.append(labels)
        self._values.append(value)

    def _extend_skeleton(self, text: str) -> None:
        self._skeleton.append(text)
        self._skeleton_line_numbers.append(len(self._runs) + 1)

    def _labels_of(self, text: str) -> Labels | None:
        """Parse `{...}` once; `None` where more than labels stand between name and value."""
        try:
            return self.labels_by_text[text]
        except KeyError:
            pass
        if text in self._known_labels:
            labels = self._known_labels[text]
        else:
            sample = _parse_alone(f"x{text} 0")
            labels = None if sample is None or sample.timestamp is not None else _sorted_labels(sample)
        self.labels_by_text[text] = labels
        return labels

    def _families(self) -> dict[int, tuple[str, str]]:
        """Family and kind of each run; a run is missing where the parser drops its samples."""
        families = {}
        reader = StringIO("\n".join(self._skeleton))
        try:
            for metric in text_fd_to_metric_families(reader):
                for sample in metric.samples:
                    run = int(sample.value)
                    stripped = metric.type == "counter" and sample.name == self._run_names[run]
                    families[run] = (f"{metric.name}_total" if stripped else metric.name, metric.type)
        except _GRAMMAR_ERRORS:
            read = reader.getvalue()[: reader.tell()].count("\n", 0, -1)
            self.line_number_of_error = self._skeleton_line_numbers[read]
            raise
        return families


def _parse_alone(text: str) -> Sample | None:
    """Parse one sample line outside its family; `None` where that is not possible."""
    try:
        families: Iterator[Sample] = (
            sample for metric in text_string_to_metric_families(text) for sample in metric.samples
        )
        return next(families, None)
    except _GRAMMAR_ERRORS:
        return None


def _written(name: str) -> str:
    """Write a sample name such that the parser reads it back, quoted where it must be."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    escaped = name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{{"{escaped}"}}'


def _sorted_labels(sample: Sample) -> Labels:
    return tuple(sorted(sample.labels.items()))


def _as_float(value: float) -> float:
    """Convert what the parser calls a value, which is an int of any size for `1` and `10**400`."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _floats(texts: list[bytes]) -> array[float] | None:
    """Convert values; `None` where the parser would not take one of them for a number.

    Python's `float` takes what the parser takes, and underscores between digits besides.
    """
    if b"_" in b" ".join(texts):
        return None
    try:
        return array("d", map(float, texts))
    except ValueError:
        return None


def _float(text: bytes) -> float | None:
    """Convert one value, as `_floats`."""
    if b"_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _looks_like_sample(line: bytes) -> bool:
    return bool(line) and not line.startswith(b"#")
