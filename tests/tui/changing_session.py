"""A Session that answers previews and carries changes out as a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.tui.samples import FakeSession, sample_snapshot
from tritop.change import ChangeClass, ConfigEdit, FieldChange, Preview, Problem
from tritop.model import Snapshot
from tritop.operation import (
    EditConfig,
    LaunchPreview,
    ModelChange,
    Operation,
    OperationState,
    OperationStatus,
    PreviewChange,
    PreviewEdit,
    PreviewLaunch,
    UnloadModel,
)
from tritop.server_spec import Ports, docker_run_line

Answer = Callable[[PreviewEdit | PreviewChange], Preview | str]
"""A preview, or the sentence with which finding it out failed."""


def preview_of(question: PreviewEdit | PreviewChange) -> Preview:
    """What a server would say: a full reload without any trouble, or an unload with its warning."""
    change = question.change if isinstance(question, PreviewChange) else None
    if isinstance(change, UnloadModel):
        warnings = ("the ensemble pipeline goes down with it, until it is loaded again.",)
        return Preview(question.server, question.model, ChangeClass.UNLOAD, warnings=warnings, dependents=("pipeline",))
    edit = question.edit if isinstance(question, PreviewEdit) else ConfigEdit()
    edit = change.edit if isinstance(change, EditConfig) else edit
    if edit.pbtxt is not None and "max_batch_sise" in edit.pbtxt:
        sentence = 'the configuration cannot be read: 3:1 : ModelConfig has no field named "x".'
        return Preview(question.server, question.model, ChangeClass.NOTHING, problems=(Problem("", sentence),))
    delay = "" if edit.max_queue_delay_us is None else str(edit.max_queue_delay_us)
    return Preview(
        question.server,
        question.model,
        ChangeClass.FULL_RELOAD,
        diff=(FieldChange("dynamic_batching.max_queue_delay_microseconds", "", delay),),
        expected_s=1.4,
        memory_needed_bytes=2 * 2**30,
        memory_free_bytes=20 * 2**30,
        resets=("statistics",),
        pbtxt_before='name: "matrix"',
        pbtxt_after='name: "matrix"\nmax_batch_size: 32\n',
        json_after='{"name": "matrix"}',
    )


def launch_of(question: PreviewLaunch) -> LaunchPreview:
    """What an engine would say: the image is to be pulled, and nothing is in the way."""
    command = docker_run_line(question.spec, Ports(18000, 18001, 18002), "ada@gpu-box")
    return LaunchPreview(command, notes=("the image is pulled first.",))


class FakeChangingSession(FakeSession):
    """Delivers one Snapshot again and again, with the statuses of what was submitted.

    Args:
        snapshot: what is delivered.
        answer: what a preview says.
        launch: what a preview of a launch says.
        hold: previews wait until `answer_now`.
    """

    def __init__(
        self,
        snapshot: Snapshot | None = None,
        *,
        answer: Answer = preview_of,
        launch: Callable[[PreviewLaunch], LaunchPreview] = launch_of,
        hold: bool = False,
    ) -> None:
        super().__init__()
        self.snapshot = sample_snapshot(1, batching=False) if snapshot is None else snapshot
        self._answer = answer
        self._launch = launch
        self._hold = hold
        self._held: list[PreviewEdit | PreviewChange] = []
        self.statuses: list[OperationStatus] = []

    def deliver_next(self, count: int = 1) -> int:
        """Deliver the Snapshot as it is now, one second later."""
        for _ in range(count):
            before = self.snapshot
            self.snapshot = replace(
                before, seq=before.seq + 1, at=before.at + 1, mono=before.mono + 1, operations=tuple(self.statuses)
            )
            assert self._deliver is not None
            self._deliver(self.snapshot)
        return count

    def submit(self, operation: Operation) -> None:
        """Record it; answer a preview at once, leave the rest under way."""
        super().submit(operation)
        if isinstance(operation, PreviewEdit | PreviewChange):
            self._held.append(operation)
            if not self._hold:
                self.answer_now()
        elif isinstance(operation, PreviewLaunch):
            self._add(operation, OperationState.DONE, "", self._launch(operation))
            self.deliver_next()
        else:
            self._add(operation, OperationState.RUNNING, "under way", None)
            self.deliver_next()

    def answer_now(self) -> None:
        """Answer every preview that waits."""
        for question in self._held:
            answer = self._answer(question)
            if isinstance(answer, str):
                self._add(question, OperationState.FAILED, answer, None)
            else:
                self._add(question, OperationState.DONE, str(answer.change), answer)
        self._held.clear()
        self.deliver_next()

    def end(self, state: OperationState, text: str) -> None:
        """End what is under way."""
        self.statuses = [
            replace(one, state=state, text=text) if one.state is OperationState.RUNNING else one
            for one in self.statuses
        ]
        self.deliver_next()

    def changes(self) -> list[ModelChange]:
        """What was asked for, without the previews."""
        return [one for one in self.submitted if isinstance(one, ModelChange)]

    def questions(self) -> list[PreviewEdit | PreviewChange]:
        """The previews that were asked for."""
        return [one for one in self.submitted if isinstance(one, PreviewEdit | PreviewChange)]

    def _add(
        self, operation: Operation, state: OperationState, text: str, result: Preview | LaunchPreview | None
    ) -> None:
        number = len(self.statuses) + 1
        self.statuses.append(OperationStatus(number, operation, state, self.snapshot.at, None, text, result))
