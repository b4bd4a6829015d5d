"""Asks the Session what a change would do, and finds the answer in the Snapshots that follow."""

from __future__ import annotations

from tritop.change import Preview
from tritop.operation import (
    LaunchPreview,
    OperationState,
    OperationStatus,
    PreviewChange,
    PreviewEdit,
    PreviewLaunch,
)
from tui.desk import Desk

__all__ = ["Asked", "Question"]

Asked = PreviewEdit | PreviewChange | PreviewLaunch
"""What can be asked without changing anything."""


class Question:
    """The newest question of one dialog; an answer to an earlier one is never taken for its answer.

    Args:
        desk: where questions go and Snapshots come from.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked: Asked | None = None
        self._after = 0
        """Number of the newest operation when it was asked."""

    def ask(self, question: Asked) -> None:
        """Ask; what was asked before is forgotten."""
        self._asked = question
        self._after = max((status.number for status in self._desk.latest.operations), default=0)
        self._desk.submit(question)

    def forget(self) -> None:
        """Wait for no answer any more."""
        self._asked = None

    @property
    def asked(self) -> bool:
        """Whether anything was asked."""
        return self._asked is not None

    @property
    def preview(self) -> Preview | None:
        """The answer about a change of a model, `None` while there is none."""
        result = self._result()
        return result if isinstance(result, Preview) else None

    @property
    def launch(self) -> LaunchPreview | None:
        """The answer about a launch, `None` while there is none."""
        result = self._result()
        return result if isinstance(result, LaunchPreview) else None

    @property
    def progress(self) -> str:
        """How the answer comes along: untrusted; "" for a quick one."""
        status = self._status()
        return status.text if status is not None and status.state is OperationState.RUNNING else ""

    @property
    def failure(self) -> str:
        """Why there is no answer and none will come: untrusted."""
        status = self._status()
        if status is not None and status.state is OperationState.FAILED:
            return status.text or "the server did not say what it would do."
        return ""

    def _result(self) -> Preview | LaunchPreview | None:
        status = self._status()
        return status.result if status is not None else None

    def _status(self) -> OperationStatus | None:
        if self._asked is None:
            return None
        newest = self._desk.latest.operations[::-1]
        return next((one for one in newest if one.number > self._after and one.operation == self._asked), None)
