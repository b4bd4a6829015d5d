"""Changes of models in a live session: previewed, carried out, put on trial, written down, taken back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tritop.change import Drift, Outcome
from tritop.endpoint import Endpoint, place_of
from tritop.errors import OperationFailed, TritopError
from tritop.logs import LogChunk
from tritop.model import Event, Server, ServerState, Snapshot
from tritop.operation import (
    EditConfig,
    KeepTrial,
    ModelChange,
    ModelOperation,
    PreviewChange,
    PreviewEdit,
    RecordedOperation,
    SaveConfig,
    TakeBackTrial,
    Undo,
)
from tritop.trial import TrialStatus

if TYPE_CHECKING:
    from tritop.control.control import Control
    from tritop.control.drift import DriftWatch
    from tritop.control.entry import Entry
    from tritop.control.ledger import Ledger, Tail
    from tritop.control.recorded import BeforeSend, RecordedControl
    from tritop.control.trials import Trials

Progress = Callable[[str], None]
_ANSWERING = frozenset({ServerState.READY, ServerState.NOT_READY})


class AnnouncingControl:
    """A Control that tells when a model was changed, before whoever asked for it goes on.

    Args:
        control: carries the changes out.
        after_change: called with the change.
    """

    def __init__(self, control: Control, after_change: Callable[[ModelChange], Awaitable[None]]) -> None:
        self._after_change = after_change
        self._perform = control.perform
        self.preview = control.preview
        self.look = control.look
        self.until_in_force = control.until_in_force
        self.aclose = control.aclose

    async def perform(self, change: ModelChange, progress: Progress, before_send: BeforeSend) -> Outcome:
        """See `Control.perform`."""
        outcome = await self._perform(change, progress, before_send)
        if outcome.changed:
            await self._after_change(change)
        return outcome


class ChangeDesk:
    """Everything that changes models, and what an operator is told of changes by others.

    What it needs is imported with the first operation, or with the first Snapshot where an
    operator is `attended`: then what a killed tritop left behind is looked for, what is noticed goes
    into the ledger, what the ledger gets from others is told, and files are compared.

    Args:
        endpoint_of: the address of a server by its name; raises OperationFailed where there is none.
        log_since: reads the log of a server from a wall time on, as `LogDesk.since`.
        after_change: called with every change of a model that was carried out.
        changed: called when there is something new to show.
        attended: whether an operator looks at the session.
    """

    def __init__(
        self,
        endpoint_of: Callable[[str], Endpoint],
        log_since: Callable[[str, float], Iterable[LogChunk]],
        *,
        after_change: Callable[[ModelChange], Awaitable[None]],
        changed: Callable[[], None],
        attended: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint_of = endpoint_of
        self._log_since = log_since
        self._after_change = after_change
        self._changed = changed
        self._attended = attended
        self._clock = clock
        self._monotonic = monotonic
        self._controls: dict[str, RecordedControl] = {}
        self._trials: Trials | None = None
        self._ledger: Ledger | None = None
        self._tail: Tail | None = None
        self._drift_watch: DriftWatch | None = None
        self._drifts: tuple[Drift, ...] = ()
        self._news: list[Event] = []
        self._recorded: set[str] = set()
        self._noticed_until = 0.0
        self._searched: set[str] = set()
        self._look: asyncio.Task[None] | None = None

    # -- operations -----------------------------------------------------------------------

    async def perform(self, operation: ModelOperation | RecordedOperation, progress: Progress) -> Outcome:
        """Carry one operation out, or find out what it would do.

        Raises:
            TritopError: it was refused or did not happen.
        """
        if isinstance(operation, KeepTrial | TakeBackTrial | Undo):
            return await self._decide(operation, progress)
        control = self._control_of(operation.server)
        if isinstance(operation, SaveConfig):
            return await control.save(operation)
        if isinstance(operation, PreviewEdit | PreviewChange):
            preview = await control.preview(operation, progress)
            return Outcome(str(preview.change), changed=False, preview=preview)
        if isinstance(operation, EditConfig) and operation.trial_s is not None:
            return await self._trials_here().begin(operation, progress)
        return await control.perform(operation, progress)

    async def _decide(self, operation: KeepTrial | TakeBackTrial | Undo, progress: Progress) -> Outcome:
        trials = self._trials_here()
        if isinstance(operation, KeepTrial):
            return await trials.keep(operation)
        if isinstance(operation, TakeBackTrial):
            return await trials.take_back(operation, progress)
        return await trials.undo(operation, progress)

    def _control_of(self, server: str) -> RecordedControl:
        endpoint = self._endpoint_of(server)
        control = self._controls.get(server)
        if control is None:
            from tritop.control.control import Control
            from tritop.control.recorded import RecordedControl

            control = self._controls[server] = RecordedControl(
                endpoint,
                AnnouncingControl(Control(endpoint, log_since=partial(self._log_since, server)), self._after_change),
                self._ledger_here(),
                repositories=[Path(folder) for folder in endpoint.repositories],
                clock=self._clock,
            )
        return control

    def _trials_here(self) -> Trials:
        if self._trials is None:
            from tritop.control.trials import Trials

            self._trials = Trials(self._control_of, changed=self._changed, clock=self._clock, monotonic=self._monotonic)
        return self._trials

    def _ledger_here(self) -> Ledger:
        if self._ledger is None:
            from tritop.control.ledger import Ledger

            self._ledger = Ledger()
        return self._ledger

    async def record(self, entry: Entry) -> str:
        """Write down what this session did to a server itself; returns why not, "" where it is written."""
        from tritop.control.ledger import NotRecorded

        self._recorded.add(entry.id)
        try:
            # What happened must be written down also where its task is being cancelled.
            await asyncio.shield(asyncio.to_thread(self._ledger_here().append, entry))
        except NotRecorded as failure:
            return str(failure)
        return ""

    # -- what is told ---------------------------------------------------------------------

    def trials(self) -> tuple[TrialStatus, ...]:
        """The trials under way, those that ended lately, and those that were left open."""
        return self._trials.statuses() if self._trials is not None else ()

    def drifts(self) -> tuple[Drift, ...]:
        """Running configurations against the files, as of the last look."""
        return self._drifts

    def take_news(self) -> tuple[Event, ...]:
        """What the ledger got since the last time, by this tritop or another one."""
        news, self._news = tuple(self._news), []
        return news

    def observe(self, snapshot: Snapshot) -> None:
        """Take the newest Snapshot; what needs files is done beside the loop, one look at a time."""
        if self._trials is not None:
            self._trials.observe(snapshot)
        if self._attended and (self._look is None or self._look.done()):
            self._look = asyncio.create_task(self._look_around(snapshot), name="look at ledger and files")

    async def _look_around(self, snapshot: Snapshot) -> None:
        if self._trials is None:
            self._trials_here().observe(snapshot)
        for server in snapshot.servers:
            if server.state in _ANSWERING and server.name not in self._searched:
                self._searched.add(server.name)
                await self._search(server.name)
        try:
            self._news += await asyncio.to_thread(self._exchange, snapshot)
        except OperationFailed:
            return  # the ledger cannot be read or written now; each change of ours says so itself
        drifts = await asyncio.to_thread(self._compare, snapshot.servers)
        if self._news or drifts != self._drifts:
            self._drifts = drifts
            self._changed()

    async def _search(self, server: str) -> None:
        """Look for what a killed tritop left behind on a server that begins to answer: trials and changes."""
        try:
            left = await self._control_of(server).settle_interrupted()
            await self._trials_here().find_open(server)
        except TritopError:
            left = True
        if left:
            self._searched.discard(server)

    def _exchange(self, snapshot: Snapshot) -> list[Event]:
        """Write what was noticed into the ledger, and read what is new there and concerns these servers.

        Raises:
            OperationFailed: the ledger cannot be read or written.
        """
        from tritop.control.author import this_author
        from tritop.control.entry import noticed_entry
        from tritop.control.interrupted import is_open
        from tritop.control.ledger import Tail

        ledger = self._ledger_here()
        first = self._tail is None
        self._tail = self._tail or Tail(ledger)
        named = {place_of(server.endpoint): server.name for server in snapshot.servers if server.endpoint}
        endpoints = {name: endpoint for endpoint, name in named.items()}
        noticed = [event for event in snapshot.events if not event.who and event.at > self._noticed_until]
        self._noticed_until = max([self._noticed_until, *(event.at for event in noticed)])
        fresh = [
            noticed_entry(event, endpoints[event.server], this_author())
            for event in noticed
            if event.server in endpoints
        ]
        if fresh:
            ledger.append_noticed(fresh)
        entries = self._tail.new_entries()
        if first:
            return []
        # What is under way is among the operations; it is news once it has ended.
        ours = (entry for entry in entries if entry.endpoint in named or entry.id in self._recorded)
        ended = (entry for entry in ours if entry.who and not is_open(entry))
        # Everybody may call a server as they like; here it has the name that it has on this screen.
        return [replace(entry, server=named.get(entry.endpoint, entry.server)).event() for entry in ended]

    def _compare(self, servers: Sequence[Server]) -> tuple[Drift, ...]:
        if self._drift_watch is None:
            from tritop.control.drift import DriftWatch

            self._drift_watch = DriftWatch(self._repositories_of)
        return self._drift_watch.look(servers)

    def _repositories_of(self, server: str) -> Sequence[Path]:
        try:
            return [Path(folder) for folder in self._endpoint_of(server).repositories]
        except OperationFailed:
            return ()

    async def forget(self, server: str) -> None:
        """Close the connection to a server that has another address now."""
        control = self._controls.pop(server, None)
        if control is not None:
            await control.aclose()

    # -- the end --------------------------------------------------------------------------

    async def close(self) -> None:
        """Take back what is on trial and close every connection: an open one can hold up a server's shutdown."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        if self._trials is not None:
            await self._trials.close()
        controls = list(self._controls.values())
        self._controls.clear()
        await asyncio.gather(*(control.aclose() for control in controls))
