"""A Preview and an Outcome as text and as JSON; the names in the JSON are a contract."""

from __future__ import annotations

from collections.abc import Iterator

from tritop.change import ChangeClass, Outcome, Preview
from tritop.cli.text import aligned, printable
from tritop.cli.units import size

Json = dict[str, object]


def preview_lines(preview: Preview) -> Iterator[str]:
    """What a change will do, a line for each thing, harmless to a terminal."""
    yield printable(f"{preview.model} on {preview.server}: {_headline(preview)}")
    rows = [(printable(one.path), printable(f"{_value(one.before)} -> {_value(one.after)}")) for one in preview.diff]
    if rows:
        yield from (f"  {line}" for line in aligned(rows, (False, False)))
    sections = (
        ("refused", (preview.refusal,) if preview.refusal else ()),
        ("wrong", tuple(str(problem) for problem in preview.problems)),
        ("lost", preview.lost_fields),
        ("note", preview.warnings),
        ("count them", ("--count-sequences",) if preview.countable else ()),
        ("starts again", (", ".join(preview.resets),) if preview.resets else ()),
        ("called by", (", ".join(preview.dependents),) if preview.dependents else ()),
    )
    for title, texts in sections:
        yield from (printable(f"  {title}: {text}") for text in texts)


def _headline(preview: Preview) -> str:
    if preview.problems or preview.refusal:
        return "will not be sent"
    parts = [f"written into {preview.file}, {preview.change}" if preview.file else str(preview.change)]
    if preview.expected_s is not None:
        parts.append(f"about {preview.expected_s:.1f} s")
    if preview.change is ChangeClass.FULL_RELOAD and preview.memory_needed_bytes is not None:
        parts.append(f"the second copy takes {size(preview.memory_needed_bytes)}")
    if preview.memory_free_bytes is not None:
        parts.append(f"{size(preview.memory_free_bytes)} free")
    return ", ".join(parts)


def _value(text: str) -> str:
    return text or "(not set)"


def preview_document(preview: Preview) -> Json:
    """A Preview for `--dry-run --json`."""
    return {
        "server": preview.server,
        "model": preview.model,
        "change": preview.change.value,
        "sendable": preview.sendable,
        "diff": [{"path": one.path, "before": one.before or None, "after": one.after or None} for one in preview.diff],
        "problems": [{"path": one.path, "sentence": one.sentence} for one in preview.problems],
        "refusal": preview.refusal or None,
        "file": preview.file or None,
        "lost_fields": list(preview.lost_fields),
        "warnings": list(preview.warnings),
        "expected_s": preview.expected_s,
        "memory_needed_bytes": preview.memory_needed_bytes,
        "memory_free_bytes": preview.memory_free_bytes,
        "resets": list(preview.resets),
        "dependents": list(preview.dependents),
        "countable": preview.countable,
        "config_before": preview.pbtxt_before or None,
        "config_after": preview.pbtxt_after or None,
    }


def outcome_document(outcome: Outcome) -> Json:
    """An Outcome for `--json`."""
    return {
        "changed": outcome.changed,
        "text": outcome.text,
        "duration_s": round(outcome.duration_s, 3),
        "versions_before": list(outcome.versions_before),
        "versions_after": list(outcome.versions_after),
        "preview": preview_document(outcome.preview),
    }
