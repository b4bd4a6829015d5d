"""Changes that leave a trace: carried out by a Control, written into the ledger, and taken back again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tritop.change import ChangeClass, Outcome, Preview
from tritop.control.author import this_author
from tritop.control.edit import as_pbtxt
from tritop.control.ensembles import dependents_of
from tritop.control.entry import Entry, new_id
from tritop.control.file_changes import READ_S, FileChanges
from tritop.control.interrupted import begun, interrupted, settled
from tritop.control.ledger import Ledger, NotRecorded, with_note
from tritop.control.server import Config
from tritop.control.situation import Situation
from tritop.control.turn import turn
from tritop.control.undo import Running, action_of, last_undoable, undo_plan
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, TritopError
from tritop.model import EventKind
from tritop.operation import EditConfig, ModelChange, ModelOperation, SaveConfig, SetVersions, Undo, UnloadModel

Progress = Callable[[str], None]
BeforeSend = Callable[[Preview, Sequence[int]], Awaitable[None]]


async def _unannounced(preview: Preview, ready: Sequence[int]) -> None:
    """The caller has written it down already."""


class Changer(Protocol):
    """What carries changes of models out: a `Control`."""

    async def preview(self, operation: ModelOperation, progress: Progress) -> Preview:
        """See `Control.preview`."""
        ...

    async def look(self, model: str) -> Situation:
        """See `Control.look`."""
        ...

    async def perform(self, change: ModelChange, progress: Progress, before_send: BeforeSend) -> Outcome:
        """See `Control.perform`."""
        ...

    async def until_in_force(
        self, model: str, wanted: Config, before: Situation, *, since: float, limit_s: float, progress: Progress
    ) -> bool:
        """See `Control.until_in_force`."""
        ...

    async def aclose(self) -> None:
        """See `Control.aclose`."""
        ...


def _cut_short(entry: Entry, *, sent: bool, duration_s: float) -> Entry:
    """An entry whose tritop ends: what was sent goes on without it, and is looked for by the next one."""
    if sent:
        return replace(entry, outcome="tritop ended before it was known what became of it", duration_s=duration_s)
    return replace(entry, outcome="tritop ended before it was sent", succeeded=False, duration_s=duration_s)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server says of a model, as far as undo and trials need it."""

    running: Running
    situation: Situation


class RecordedControl:
    """A Control whose changes are in the ledger; it takes its place wherever that is used.

    Args:
        endpoint: the server.
        control: carries the changes out; closed with this.
        ledger: where they are written.
        repositories: those of the server that are readable from here.
        file_read_s: how long to wait for the server to read a config file by itself.
        clock: wall time [s].
        happened: told every entry of this control, for the screen; on whatever thread wrote it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        control: Changer,
        ledger: Ledger,
        *,
        repositories: Sequence[Path] = (),
        file_read_s: float = READ_S,
        clock: Callable[[], float] = time.time,
        happened: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        self.endpoint = endpoint
        self.ledger = ledger
        self._control = control
        self._repositories = tuple(repositories)
        self._files = FileChanges(control, repositories, ledger.folder, read_s=file_read_s, clock=clock)
        self._clock = clock
        self._happened = happened

    async def preview(self, operation: ModelOperation, progress: Progress = lambda text: None) -> Preview:
        """What an operation would do; changes nothing.

        Raises:
            TritopError: as `Control.preview`.
        """
        return await self._files.preview(operation, await self._control.preview(operation, progress))

    async def look(self, model: str) -> Situation:
        """What the server and a model of it are like now.

        Raises:
            TritopError: as `Control.look`.
        """
        return await self._control.look(model)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._control.aclose()

    async def perform(self, change: ModelChange, progress: Progress) -> Outcome:
        """Carry a change out and write down what became of it.

        That the ledger cannot be written stops no change: the outcome says so.

        Raises:
            TritopError: as `Control.perform`.
        """
        entry = self.entry(EventKind.OPERATION, change.model, action_of(change))
        return await self.carry_out(change, entry, progress)

    async def perform_unrecorded(self, change: ModelChange, progress: Progress) -> Outcome:
        """Carry a change out that the caller has written down.

        Raises:
            TritopError: as `Control.perform`.
        """
        async with turn(self.ledger.folder, self.endpoint.place, change.model, progress):
            return await self._control.perform(change, progress, _unannounced)

    async def carry_out(self, change: ModelChange, entry: Entry, progress: Progress) -> Outcome:
        """Carry a change out that the ledger is to know under an entry of the caller's.

        The entry is written before anything is sent, and once more with what became of it: where this
        process is killed in between, the next tritop finds the one without the other (`interrupted`).

        Raises:
            TritopError: as `Control.perform`; the failure is in the ledger as well.
        """
        began = time.monotonic()
        written = entry

        async def before_send(preview: Preview, ready: Sequence[int]) -> None:
            nonlocal written
            written = begun(entry, change, preview, ready)
            await self.write(written)

        try:
            async with turn(self.ledger.folder, self.endpoint.place, change.model, progress):
                outcome = await self._perform(change, progress, before_send)
        except TritopError as error:
            await self.write(replace(written, outcome=str(error), succeeded=False, duration_s=time.monotonic() - began))
            raise
        except asyncio.CancelledError:
            self._write_now(_cut_short(written, sent=written is not entry, duration_s=time.monotonic() - began))
            raise
        if outcome.changed:
            return await self._written_down(entry, outcome)
        if written is not entry:
            await self.write(replace(entry, outcome=outcome.text, succeeded=True))
        return outcome

    async def _perform(self, change: ModelChange, progress: Progress, before_send: BeforeSend) -> Outcome:
        """Carry a change out by the way that the server takes: over its API, or through its repository."""
        if self._repositories and isinstance(change, EditConfig | SetVersions):
            preview = await self.preview(change)
            if preview.by_mode and not preview.refusal:
                return await self._files.perform(change, preview, progress, before_send)
        return await self._control.perform(change, progress, before_send)

    async def _written_down(self, entry: Entry, outcome: Outcome) -> Outcome:
        """Write a change down that was carried out; the outcome says where that cannot be done."""
        failure = await self.write(
            replace(
                entry,
                text=entry.text or outcome.text,
                diff=outcome.preview.diff,
                pbtxt_before=outcome.preview.pbtxt_before,
                pbtxt_after=await self._pbtxt_after(outcome),
                versions_before=outcome.versions_before,
                versions_after=outcome.versions_after,
                outcome=outcome.text,
                succeeded=True,
                duration_s=outcome.duration_s,
            )
        )
        return replace(outcome, text=with_note(outcome.text, failure))

    async def settle_interrupted(self) -> bool:
        """Find out what became of changes that a killed tritop had begun here, and write it down.

        Returns:
            Whether the server may still be carrying one of them out.

        Raises:
            TritopError: the ledger cannot be read, or the server does not answer.
        """
        entries = await asyncio.to_thread(self.ledger.entries)
        may_go_on = False
        for entry in interrupted(entries, self.endpoint.place, self._clock()):
            try:
                running = (await self.see(entry.model)).running
            except OperationFailed:
                running = Running("")  # there is no such model any more
            ended = settled(entry, running, self._clock())
            if ended is None:
                may_go_on = True
            else:
                await self.write(ended)
        return may_go_on

    async def _pbtxt_after(self, outcome: Outcome) -> str:
        """The configuration that a change led to; only the server knows that of what it loads from its repository."""
        preview = outcome.preview
        if preview.change is ChangeClass.UNLOAD or preview.pbtxt_after:
            return "" if preview.change is ChangeClass.UNLOAD else preview.pbtxt_after
        try:
            return (await self.see(preview.model)).running.pbtxt
        except TritopError:
            return ""  # The change is done all the same; an undo will ask before it touches the model.

    async def undo(self, operation: Undo, progress: Progress) -> Outcome:
        """Take back the last change that can be taken back. Open trials are the caller's to end first.

        Raises:
            OperationFailed: there is none, or somebody changed the model since and that is not confirmed.
            TritopError: as `Control.perform`.
        """
        entries = await asyncio.to_thread(self.ledger.entries)
        found = last_undoable(entries, self.endpoint.place, operation.model)
        if found is None:
            what = f"of {operation.model} " if operation.model else ""
            raise OperationFailed(f"the ledger has no change {what}on {self.endpoint.name} that can be taken back.")
        found = replace(found, server=self.endpoint.name)
        text = f"undo: {found.outcome or found.text}"
        entry = replace(self.entry(EventKind.UNDONE, found.model, ""), refers_to=found.id, text=text)
        return await self.take_back(found, entry, entries, progress, confirmed=operation.confirmed)

    async def take_back(
        self, found: Entry, entry: Entry, entries: Sequence[Entry], progress: Progress, *, confirmed: bool
    ) -> Outcome:
        """Take the change of an entry back, and write `entry` about it.

        Raises:
            OperationFailed: somebody changed the model since, or it would be unloaded, and that is not confirmed.
            TritopError: as `Control.perform`.
        """
        seen = await self.see(found.model)
        plan = undo_plan(found, seen.running, entries)
        if plan.operation is None:
            text = f"nothing to do: {found.model} is already as it was before"
            failure = await self.write(replace(entry, outcome=text, succeeded=True))
            return Outcome(with_note(text, failure), False, Preview(found.server, found.model, ChangeClass.NOTHING))
        if plan.conflict and not confirmed:
            raise OperationFailed(
                f"not taken back: {plan.conflict}.", "Look at what it is now, then confirm it if you still want to."
            )
        if isinstance(plan.operation, UnloadModel) and not confirmed:
            called_by = ", ".join(dependents_of(found.model, seen.situation.configs))
            down = f", and {called_by}, which calls it, goes down" if called_by else ""
            raise OperationFailed(f"not taken back: that unloads {found.model}{down}.", "Confirm it if you want that.")
        outcome = await self.carry_out(plan.operation, entry, progress)
        if not outcome.changed:
            await self.write(replace(entry, outcome=outcome.text, succeeded=True))
        return outcome

    async def see(self, model: str) -> Seen:
        """What the server says of a model now.

        Raises:
            TritopError: as `Control.look`.
        """
        situation = await self._control.look(model)
        text = as_pbtxt(situation.current) if situation.current is not None else ""
        return Seen(Running(text, situation.ready), situation)

    async def save(self, operation: SaveConfig) -> Outcome:
        """Write what runs into the model's config file.

        Raises:
            OperationFailed: nothing was written; the sentence says why.
            TritopError: as `Control.look`.
        """
        from tritop.control.drift import save

        if self.endpoint.read_only:
            raise OperationFailed(
                f"{self.endpoint.name} is watched read-only: nothing is written.",
                "Start tritop without --read-only to save.",
            )
        began, model = time.monotonic(), operation.model
        seen = (await self.see(model)).situation
        if seen.current is None:
            raise OperationFailed(f"{model} is not loaded, so nothing of it runs that could be saved.")
        entry = self.entry(EventKind.CONFIG_SAVED, model, "save")
        try:
            saved = await asyncio.to_thread(
                save, model, self._repositories, seen.current, seen.index, backups=self.ledger.folder
            )
        except OperationFailed as error:
            await self.write(replace(entry, outcome=str(error), succeeded=False))
            raise
        preview = Preview(
            self.endpoint.name,
            model,
            ChangeClass.NOTHING,
            saved.diff,
            pbtxt_before=saved.content_before,
            pbtxt_after=saved.content_after,
        )
        if not saved.diff:
            return Outcome(saved.text, False, preview)
        failure = await self.write(replace(entry, diff=saved.diff, text=saved.text, outcome=saved.text, succeeded=True))
        return Outcome(with_note(saved.text, failure), True, preview, duration_s=time.monotonic() - began)

    # -- the ledger -----------------------------------------------------------------------

    def entry(self, kind: EventKind, model: str, action: str) -> Entry:
        """An entry about something that begins now."""
        at = self._clock()
        return Entry(
            id=new_id(at),
            at=at,
            kind=kind,
            endpoint=self.endpoint.place,
            server=self.endpoint.name,
            model=model,
            author=this_author(),
            action=action,
        )

    async def write_first(self, entry: Entry) -> None:
        """Write an entry about something that is not done where it cannot be written.

        Raises:
            NotRecorded: it was not written.
        """
        await asyncio.shield(asyncio.to_thread(self.ledger.append_or_forget, entry))
        self._happened(entry)

    async def write(self, entry: Entry) -> NotRecorded | None:
        """Write an entry; what kept it from being written is returned, for the outcome to say."""
        # A change that happened must be written down also where its task is being cancelled.
        return await asyncio.shield(asyncio.to_thread(self._write_now, entry))

    def _write_now(self, entry: Entry) -> NotRecorded | None:
        self._happened(entry)
        try:
            self.ledger.append(entry)
        except NotRecorded as failure:
            return failure
        return None
