"""Changes of a configuration in its file, for a server that reads its repository and takes no loads on request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tritop.change import ChangeClass, FieldChange, Outcome, Preview
from tritop.control.drift import plan_file_edit
from tritop.control.edit import parse_config
from tritop.control.plan import change_of
from tritop.control.repository import ModelFolder, find_model, write_config
from tritop.control.sentences import refuse
from tritop.control.server import Config
from tritop.control.settle import Progress
from tritop.control.situation import Situation
from tritop.errors import OperationFailed
from tritop.operation import EditConfig, ModelChange, ModelOperation, SetVersions

READ_S = 45.0
"""How long to wait for the server to read a file: its --repository-poll-secs is 15 unless it says otherwise."""


BeforeSend = Callable[[Preview, Sequence[int]], Awaitable[None]]


class Watcher(Protocol):
    """What sees a server: a `Control`."""

    async def look(self, model: str) -> Situation:
        """See `Control.look`."""
        ...

    async def until_in_force(
        self, model: str, wanted: Config, before: Situation, *, since: float, limit_s: float, progress: Progress
    ) -> bool:
        """See `Control.until_in_force`."""
        ...


@dataclass(frozen=True, slots=True)
class FileEdit:
    """What would be written."""

    before: Situation
    found: ModelFolder
    content: bytes
    diff: tuple[FieldChange, ...]
    """`before` is the file as it is."""


class FileChanges:
    """Writes what cannot be sent into config files, and sees whether the server reads them.

    Args:
        control: sees the server.
        repositories: those of the server that are readable from here.
        backups: where former files go.
        read_s: how long to wait for the server.
        clock: wall time [s].
    """

    def __init__(
        self,
        control: Watcher,
        repositories: Sequence[Path],
        backups: Path,
        *,
        read_s: float = READ_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._control = control
        self._repositories = tuple(repositories)
        self._backups = backups
        self._read_s = read_s
        self._clock = clock

    async def preview(self, operation: ModelOperation, preview: Preview) -> Preview:
        """The preview of a change that only its file can bring about; any other one as it is.

        Raises:
            ReadError: the server does not answer.
        """
        if not self._may_be_filed(change_of(operation), preview):
            return preview
        if preview.problems:
            return replace(preview, refusal="")
        try:
            edit = await self._plan(preview)
        except OperationFailed as error:
            return replace(preview, refusal=f"{preview.refusal} {error}")
        if not edit.diff:
            return replace(preview, refusal=f"{edit.found.path} says so already: the server has not read it yet.")
        note = f"the server is sent nothing: {edit.found.path} is written, and it reads that when it polls or starts."
        return replace(
            preview, refusal="", file=str(edit.found.path), diff=edit.diff, warnings=(note, *preview.warnings)
        )

    def _may_be_filed(self, change: ModelChange, preview: Preview) -> bool:
        if not preview.by_mode or not self._repositories or preview.change is ChangeClass.NOTHING:
            return False
        return isinstance(change, SetVersions) or (isinstance(change, EditConfig) and change.trial_s is None)

    async def _plan(self, preview: Preview) -> FileEdit:
        situation = await self._control.look(preview.model)
        current = situation.current
        if current is None:
            raise OperationFailed(f"{preview.model} is not loaded by now.")
        wanted = parse_config(preview.pbtxt_after)
        found, content, diff = await asyncio.to_thread(
            plan_file_edit, preview.model, self._repositories, current, wanted, situation.index
        )
        return FileEdit(situation, found, content, diff)

    async def perform(
        self, change: ModelChange, preview: Preview, progress: Progress, before_send: BeforeSend
    ) -> Outcome:
        """Write the file of a previewed change, and return once the server runs it or is not seen to.

        `before_send` is as for `Control.perform`: nothing is written before it returns.

        Raises:
            OperationFailed: nothing was written, or the server does not take it and the file is as it was.
            ReadError: the server does not answer.
        """
        refuse(change, preview)
        began = time.monotonic()
        edit = await self._plan(preview)
        await before_send(preview, edit.before.ready)
        since = self._clock()
        backup = await asyncio.to_thread(write_config, edit.found, edit.content, backups=self._backups)
        wanted = parse_config(preview.pbtxt_after)
        try:
            runs = await self._control.until_in_force(
                change.model, wanted, edit.before, since=since, limit_s=self._read_s, progress=progress
            )
        except OperationFailed as error:
            raise OperationFailed(f"{error.sentence} {await self._put_back(edit)}") from error
        duration_s = time.monotonic() - began
        fields = "; ".join(str(one) for one in edit.diff)
        kept = f" What it held before is in {backup}." if backup is not None else ""
        said = (
            "the server has read it"
            if runs
            else f"the server has not read it within {self._read_s:g} s: it does when it polls, or starts again"
        )
        text = f"{edit.found.path}: {fields}; {said} ({duration_s:.1f} s).{kept}"
        return Outcome(
            text,
            changed=True,
            preview=replace(preview, diff=edit.diff),
            duration_s=duration_s,
            versions_before=edit.before.ready,
            versions_after=(await self._control.look(change.model)).ready,
        )

    async def _put_back(self, edit: FileEdit) -> str:
        """Give a file that the server does not take its former content; what became of that, as a sentence."""
        path = edit.found.path
        if edit.found.content is None:
            return f"{path} was not there before; remove it."
        try:
            written = find_model(self._repositories, edit.found.folder.name)
            if written.content != edit.content:
                return f"{path} was written by somebody else since, and left as it is."
            await asyncio.to_thread(write_config, written, edit.found.content, backups=self._backups)
        except OperationFailed as error:
            return f"{path} could not be put back: {error.sentence}"
        return f"{path} is as it was before."
