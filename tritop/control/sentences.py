"""What is said of a change: why it is not sent, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tritop.change import ChangeClass, Preview
from tritop.control.merge import listed
from tritop.errors import OperationFailed
from tritop.operation import EditConfig, LoadModel, ModelChange

_TOLD_FIELDS = 3
"""Fields named in the sentence of an outcome; the preview has all of them."""


def refuse(change: ModelChange, preview: Preview) -> None:
    """Raise where a change must not be sent.

    Raises:
        OperationFailed: with everything that is wrong.
    """
    if obstacle := preview.obstacle:
        raise OperationFailed(f"not sent: {obstacle}")
    confirmed = change.confirmed_losses if isinstance(change, EditConfig | LoadModel) else ()
    lost = [field for field in preview.lost_fields if field not in confirmed]
    if lost:
        raise OperationFailed(
            f"not sent: {change.model} would lose {', '.join(lost)}.", "Confirm each of them, or keep them."
        )


def sentence_of(change: ModelChange, preview: Preview, before: Sequence[int], after: Sequence[int]) -> str:
    """What a change did."""
    if preview.change is ChangeClass.LOAD:
        return f"{change.model} loaded, serving {versions_listed(after)}"
    if set(before) != set(after):
        return f"{change.model} serves {versions_listed(after)}, {preview.change}"
    fields = "; ".join(str(one) for one in preview.diff[:_TOLD_FIELDS])
    more = f" and {len(preview.diff) - _TOLD_FIELDS} more" if len(preview.diff) > _TOLD_FIELDS else ""
    return f"{change.model}: {fields}{more}, {preview.change}"


def others_note(preview: Preview) -> list[str]:
    """That somebody else's changes are in force beside this one."""
    return [f"somebody else has changed {listed(preview.others)}, and both are in force"] if preview.others else []


def versions_listed(versions: Sequence[int]) -> str:
    """Versions in a sentence."""
    return f"version{'s' if len(versions) > 1 else ''} {', '.join(map(str, versions))}"
