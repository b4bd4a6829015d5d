"""Carries changes of models out on one running server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from collectors.grpc_faults import LoadRefused
from tritop.change import ChangeClass, ConfigEdit, Outcome, Preview
from tritop.control.compare import completed, lost_fields
from tritop.control.edit import as_pbtxt
from tritop.control.load_times import LOAD_LINES, load_seconds
from tritop.control.merge import is_reverted, listed, made_since, replaces_everything, undone_by
from tritop.control.plan import Plan, change_of, plan
from tritop.control.reading import until_in_force
from tritop.control.reason import ReasonInLog
from tritop.control.sending import Sender
from tritop.control.sentences import others_note, refuse, sentence_of, versions_listed
from tritop.control.sequences import count_sequences
from tritop.control.server import Config, TritonServer
from tritop.control.server_log import LogSince, ServerLog, not_readable
from tritop.control.settle import Patience, Progress, same_but_versions, until_unloaded
from tritop.control.situation import PolicyMemory, Situation, current_of, executions_of, look
from tritop.control.versions import ready_versions
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, RuntimeFailure, TritopError, UsageError
from tritop.operation import (
    EditConfig,
    LoadModel,
    ModelChange,
    ModelOperation,
    PreviewChange,
    ReloadModel,
    UnloadModel,
)
from tritop.reading import IndexEntry

_TRIES = 3
"""Plans made for one change, while others change the model under them."""
_LOGGED_S = 30 * 86_400.0
"""How far back a log is read for the last load of a model."""
_READ_ONLY = "is watched read-only: nothing is changed."


BeforeSend = Callable[[Preview, Sequence[int]], Awaitable[None]]
"""Called with what is about to be sent and the versions that are READY; again where it must be planned again."""


async def _unannounced(preview: Preview, ready: Sequence[int]) -> None:
    """Nobody wants to know."""


def _untold(text: str) -> None:
    """Nobody wants to know."""


class Control:
    """Changes models of one server, always over gRPC, and looks at what became of it.

    Lives on one event loop. Changes of the same model must not run side by side: the session's
    lanes see to that, and between tritops of one host `turn`. An edit by field is made of the newest
    configuration, so that it and what others change at the same time are in force together.

    Args:
        endpoint: the server; nothing is changed on a read-only one.
        log_since: reads the server's log, for what Triton tells nowhere else.
        load_timeout_s: bound on the call that loads, `None` for none. When it passes the server is
            watched instead, because it goes on loading.
        patience: how long to wait for what only the server can hurry.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        log_since: LogSince = not_readable,
        load_timeout_s: float | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._log = ServerLog(log_since)
        self._load_timeout_s = load_timeout_s
        self._patience = patience or Patience()
        self._server: TritonServer | None = None
        self._sends: Sender | None = None
        self._policies = PolicyMemory()
        self._changed: set[str] = set()
        self._load_s: Mapping[str, float] | None = None

    async def preview(self, operation: ModelOperation, progress: Progress = _untold) -> Preview:
        """What an operation would do; changes nothing.

        Args:
            operation: a change, or a question about one.
            progress: told how counting comes along.

        Raises:
            TritopError: the server does not answer, or the operation makes no sense.
        """
        change = change_of(operation)
        planned, situation = await self._plan(change)
        if planned.preview.countable and isinstance(operation, PreviewChange) and operation.count_sequences:
            situation = await self._with_sequences(situation, progress)
            preview = plan(change, situation).preview
            return replace(preview, expected_s=planned.preview.expected_s)
        return planned.preview

    async def _with_sequences(self, situation: Situation, progress: Progress) -> Situation:
        """The same with the live sequences counted, or why they were not."""
        assert situation.current is not None
        if self._endpoint.read_only:
            return replace(situation, uncounted="read-only, they are not counted: the server would have to log more.")
        try:
            counted = await count_sequences(self._connected(), self._log, situation.model, situation.current, progress)
        except TritopError as error:
            return replace(situation, uncounted=error.sentence)
        return replace(situation, sequences=counted)

    async def look(self, model: str) -> Situation:
        """What the server and a model of it are like now; nothing is asked that could change anything.

        Raises:
            OperationFailed: there is no such model.
            ReadError: the server does not answer.
        """
        situation = await look(self._connected(), self._endpoint, model, policies=self._policies)
        if situation.obstacle:
            raise OperationFailed(situation.obstacle)
        if not situation.known:
            raise OperationFailed(f"there is no model {model!r} in the repository of {self._endpoint.name}.")
        return situation

    async def perform(self, change: ModelChange, progress: Progress, before_send: BeforeSend = _unannounced) -> Outcome:
        """Carry a change out and return once the server is seen in its new state.

        Args:
            change: what to do.
            progress: told how it comes along.
            before_send: told what will be sent; nothing is sent before it returns.

        Raises:
            OperationFailed: it was not sent, or the server refused; the sentence says why, and in
                what state the model is.
            ReadError: the server does not answer.
            UsageError: the operation makes no sense.
        """
        if self._endpoint.read_only:
            raise OperationFailed(
                f"{self._endpoint.name} {_READ_ONLY}", "Start tritop without --read-only to change something."
            )
        progress(f"looking at {change.model}")
        loop = asyncio.get_running_loop()
        began = loop.time()
        planned, situation = await self._newest_plan(change, progress, before_send)
        if planned.nothing:
            return Outcome(f"nothing to do: {planned.nothing}", changed=False, preview=planned.preview)
        theirs = await self._sender().send(planned, situation, progress)
        outcome = await self._outcome(change, planned, situation, progress)
        duration_s = loop.time() - began
        if theirs is not None:
            outcome = await self._beside(theirs, change, situation, outcome, progress)
        else:
            outcome = await self._not_undone_by_chance(change, planned, situation, outcome, progress)
        return replace(outcome, text=f"{outcome.text} ({duration_s:.1f} s)", duration_s=duration_s)

    async def until_in_force(
        self, model: str, wanted: Config, before: Situation, *, since: float, limit_s: float, progress: Progress
    ) -> bool:
        """See `tritop.control.reading.until_in_force`.

        Raises:
            OperationFailed: the server's log says that it does not take it.
            ReadError: the server does not answer.
        """
        reason = ReasonInLog(self._log, model, since=since)
        look = partial(current_of, self._connected(), model, self._policies)
        return await until_in_force(self._connected(), wanted, before, look, reason, limit_s=limit_s, progress=progress)

    async def aclose(self) -> None:
        """Close the connection: an open one can hold up a server's shutdown."""
        server, self._server, self._sends = self._server, None, None
        if server is not None:
            await server.close()

    def _connected(self) -> TritonServer:
        if self._server is None:
            self._server = TritonServer(self._endpoint)
        return self._server

    def _sender(self) -> Sender:
        if self._sends is None:
            self._sends = Sender(
                self._endpoint.name,
                self._connected(),
                log=self._log,
                load_timeout_s=self._load_timeout_s,
                patience=self._patience,
            )
        return self._sends

    async def _plan(self, change: ModelChange) -> tuple[Plan, Situation]:
        version = change.version if isinstance(change, LoadModel | UnloadModel) else ""
        if version and not version.isdecimal():
            raise UsageError(f"{version!r} is no version number.", "Versions are whole numbers, such as 1.")
        server = self._connected()
        refused = None if self._endpoint.read_only else await server.refusal()
        situation = await look(
            server,
            self._endpoint,
            change.model,
            policies=self._policies,
            refusal=f"{self._endpoint.name} {_READ_ONLY}" if self._endpoint.read_only else str(refused or ""),
            by_mode=isinstance(refused, LoadRefused),
        )
        situation = replace(situation, changed_here=change.model in self._changed)
        planned = plan(change, situation)
        expected_s = planned.preview.expected_s
        if expected_s is None and planned.preview.change in {ChangeClass.FULL_RELOAD, ChangeClass.LOAD}:
            expected_s = self._sender().load_s.get(change.model) or (await self._logged_load_s()).get(change.model)
        return replace(planned, preview=replace(planned.preview, expected_s=expected_s)), situation

    async def _logged_load_s(self) -> Mapping[str, float]:
        """Seconds of the last load of each model that the server's log tells of; read once."""
        if self._load_s is None:
            since = self._log.clock() - _LOGGED_S
            try:
                self._load_s = load_seconds(await self._log.entries_since(since, *LOAD_LINES))
            except RuntimeFailure:
                self._load_s = {}
        return self._load_s

    async def _newest_plan(
        self, change: ModelChange, progress: Progress, before_send: BeforeSend
    ) -> tuple[Plan, Situation]:
        """The plan of a change, made of what the model still has right before it is sent.

        Raises:
            OperationFailed: it must not be sent.
        """
        for _ in range(_TRIES):
            planned, situation = await self._plan(change)
            if planned.nothing:
                return planned, situation
            refuse(change, planned.preview)
            await before_send(planned.preview, situation.ready)
            if await current_of(self._connected(), change.model, self._policies) == situation.current:
                return planned, situation
            if situation.current is not None and not isinstance(change, ReloadModel):
                change = replace(change, based_on=change.based_on or planned.preview.pbtxt_before)
            progress(f"somebody else has changed {change.model}; looking at it again")
        raise OperationFailed(f"not sent: somebody else changes {change.model} again and again.", "Try again later.")

    # -- looking afterwards ---------------------------------------------------------------

    async def _outcome(self, change: ModelChange, planned: Plan, before: Situation, progress: Progress) -> Outcome:
        """What the server shows after a change, which is not always what it answered.

        Raises:
            OperationFailed: what was asked for is not there.
        """
        server = self._connected()
        index = await server.index()
        ready = ready_versions(index, change.model)
        preview = planned.preview
        notes = [f"{name} is not served any more" for name in preview.dependents if _lost(name, before, index)]
        if preview.change is ChangeClass.UNLOAD:
            self._changed.discard(change.model)
            done = f"{change.model} unloaded"
        else:
            await self._check_served(change, ready, before)
            gone = tuple(version for version in before.ready if version not in ready)
            await until_unloaded(server, change.model, self._patience, progress, versions=gone)
            if planned.wanted is not None:
                await self._policies.remember(server, change.model, planned.wanted.version_policy)
            self._changed.add(change.model)
            if preview.change is ChangeClass.IN_PLACE and await self._began_anew(before):
                notes.append("the server reloaded it in full after all")
            current = await server.config(change.model)
            if _overtaken(planned.wanted, before.current, current):
                notes.append("by now somebody else has changed it again")
            notes += others_note(preview)
            done = sentence_of(change, preview, before.ready, ready)
        return Outcome(
            text="; ".join((done, *notes)),
            changed=True,
            preview=preview,
            versions_before=before.ready,
            versions_after=ready,
        )

    async def _beside(
        self, theirs: Config, change: ModelChange, before: Situation, outcome: Outcome, progress: Progress
    ) -> Outcome:
        """Bring back what somebody else had changed at the same moment, and this change, not knowing it, undid."""
        assert before.current is not None
        made = made_since(before.current, theirs)
        bare = replace(change, based_on="") if not isinstance(change, ReloadModel) else change
        mine = plan(bare, replace(before, current=theirs))
        if replaces_everything(change) or mine.wanted is None:
            return replace(outcome, text=f"{outcome.text}; it replaces what somebody else changed: {listed(made)}")
        gone = undone_by(mine.wanted, before.current, made)
        kept = tuple(one for one in made if one not in gone)
        now = await current_of(self._connected(), change.model, self._policies) or before.current
        both = EditConfig(
            change.server,
            change.model,
            ConfigEdit(pbtxt=as_pbtxt(mine.wanted)),
            confirmed_losses=lost_fields(now, mine.wanted),
            based_on=as_pbtxt(now),
        )
        try:
            again, situation = await self._newest_plan(both, progress, _unannounced)
            if not again.nothing:
                await self._sender().send(again, situation, progress)
                outcome = await self._outcome(both, again, situation, progress)
        except OperationFailed as error:
            return replace(outcome, text=f"{outcome.text}; somebody else's {listed(made)} is gone with it: {error}")
        preview = replace(mine.preview, others=kept)
        text = "; ".join((sentence_of(change, preview, before.ready, outcome.versions_after), *others_note(preview)))
        return replace(outcome, text=text, preview=preview, versions_before=before.ready)

    async def _not_undone_by_chance(
        self, change: ModelChange, planned: Plan, before: Situation, outcome: Outcome, progress: Progress
    ) -> Outcome:
        """Send a change once more where somebody else, who had not seen it, sent the former values with their own."""
        if planned.wanted is None or before.current is None or replaces_everything(change):
            return outcome
        now = await current_of(self._connected(), change.model, self._policies)
        if now is None or not is_reverted(planned.preview.diff, before.current, now):
            return outcome
        made = made_since(before.current, now)
        again, situation = await self._newest_plan(change, progress, _unannounced)
        if again.nothing:
            return outcome
        await self._sender().send(again, situation, progress)
        again = replace(again, preview=replace(again.preview, others=made))
        outcome = await self._outcome(change, again, situation, progress)
        return replace(outcome, versions_before=before.ready)

    async def _began_anew(self, before: Situation) -> bool:
        """Whether a version that was served all along counts from the beginning again.

        Under much traffic it may have counted beyond its former number by now, and is not noticed.
        """
        now = executions_of(await self._connected().statistics(), before.model)
        return any(now.get(version, count) < count for version, count in before.executions.items() if version in now)

    async def _check_served(self, change: ModelChange, ready: Sequence[int], before: Situation) -> None:
        """Make sure that the model is served, and the version that was asked for with it.

        Raises:
            OperationFailed: it is not; a policy that names a version in vain is taken back.
        """
        if not ready:
            raise OperationFailed(
                f"{self._endpoint.name} answered that {change.model} was loaded, and it is not served.",
                "Its log says why; a step of an ensemble that is not loaded is the usual reason.",
            )
        if isinstance(change, LoadModel) and change.version and int(change.version) not in ready:
            if before.current is not None:
                await self._connected().load(change.model, before.current, self._load_timeout_s)
            raise OperationFailed(
                f"version {change.version} of {change.model} is not in the repository; "
                f"served: {versions_listed(ready)}."
            )


def _lost(ensemble: str, before: Situation, index: Sequence[IndexEntry]) -> bool:
    return bool(before.ready_of_all().get(ensemble)) and not ready_versions(index, ensemble)


def _overtaken(wanted: Config | None, before: Config | None, current: Config | None) -> bool:
    """Whether the model has by now another configuration than the one that was sent."""
    if wanted is None or before is None:
        return False
    if current is None:
        return True
    return not same_but_versions(completed(wanted, before), current)
