"""Carries changes of models out on one running server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from collectors.grpc_faults import LostConnection, quoted
from tritop.change import ChangeClass, Outcome, Preview
from tritop.control.compare import completed
from tritop.control.plan import Plan, plan
from tritop.control.reason import LogLines, ReasonInLog
from tritop.control.server import Config, Refused, TritonServer
from tritop.control.settle import Patience, Progress, SentLoad, Silence, same_but_versions, until_known, until_unloaded
from tritop.control.situation import PolicyMemory, Situation, executions_of, look
from tritop.control.versions import ready_versions
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, ReadError, Stopping, TimedOut, Unreachable, UsageError
from tritop.operation import (
    EditConfig,
    LoadModel,
    ModelChange,
    ModelOperation,
    PreviewChange,
    PreviewEdit,
    UnloadModel,
)
from tritop.reading import IndexEntry

_TELL_S = 0.5
"""How often progress is told while a call is under way."""
_TOLD_FIELDS = 3
"""Fields named in the sentence of an outcome; the preview has all of them."""
_READ_ONLY = "is watched read-only: nothing is changed."


class Control:
    """Changes models of one server, always over gRPC, and looks at what became of it.

    Lives on one event loop. Changes of the same model must not run side by side: the session's
    lanes see to that. Changes that others make at the same time are seen and said.

    Args:
        endpoint: the server; nothing is changed on a read-only one.
        log_lines: the newest lines of the server's log, for the reason that Triton keeps there;
            `None` where it cannot be read.
        load_timeout_s: bound on the call that loads, `None` for none. When it passes the server is
            watched instead, because it goes on loading.
        patience: how long to wait for what only the server can hurry.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        log_lines: LogLines | None = None,
        load_timeout_s: float | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._log_lines = log_lines
        self._load_timeout_s = load_timeout_s
        self._patience = patience or Patience()
        self._server: TritonServer | None = None
        self._load_s: dict[str, float] = {}
        self._policies = PolicyMemory()
        self._changed: set[str] = set()

    async def preview(self, operation: ModelOperation) -> Preview:
        """What an operation would do; changes nothing.

        Raises:
            TritopError: the server does not answer, or the operation makes no sense.
        """
        return (await self._plan(_change_of(operation)))[0].preview

    async def look(self, model: str) -> Situation:
        """What the server and a model of it are like now; nothing is asked that could change anything.

        Raises:
            OperationFailed: there is no such model.
            ReadError: the server does not answer.
        """
        situation = await look(self._connected(), self._endpoint, model, refusal="", policies=self._policies)
        if situation.obstacle:
            raise OperationFailed(situation.obstacle)
        if not situation.known:
            raise OperationFailed(f"there is no model {model!r} in the repository of {self._endpoint.name}.")
        return situation

    async def perform(self, change: ModelChange, progress: Progress) -> Outcome:
        """Carry a change out and return once the server is seen in its new state.

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
        planned, situation = await self._plan(change)
        if planned.nothing:
            return Outcome(f"nothing to do: {planned.nothing}", changed=False, preview=planned.preview)
        _refuse(change, planned.preview)
        loop = asyncio.get_running_loop()
        began = loop.time()
        if planned.preview.change is ChangeClass.UNLOAD:
            await self._connected().unload(change.model)
            await until_unloaded(self._connected(), change.model, self._patience, progress)
        else:
            await self._load(planned, situation, progress)
        outcome = await self._outcome(change, planned, situation, progress)
        duration_s = loop.time() - began
        return replace(outcome, text=f"{outcome.text} ({duration_s:.1f} s)", duration_s=duration_s)

    async def aclose(self) -> None:
        """Close the connection: an open one can hold up a server's shutdown."""
        server, self._server = self._server, None
        if server is not None:
            await server.close()

    def _connected(self) -> TritonServer:
        if self._server is None:
            self._server = TritonServer(self._endpoint)
        return self._server

    async def _plan(self, change: ModelChange) -> tuple[Plan, Situation]:
        version = change.version if isinstance(change, LoadModel | UnloadModel) else ""
        if version and not version.isdecimal():
            raise UsageError(f"{version!r} is no version number.", "Versions are whole numbers, such as 1.")
        server = self._connected()
        refusal = f"{self._endpoint.name} {_READ_ONLY}" if self._endpoint.read_only else await server.refusal()
        situation = await look(server, self._endpoint, change.model, refusal=refusal, policies=self._policies)
        situation = replace(situation, changed_here=change.model in self._changed)
        planned = plan(change, situation)
        expected_s = planned.preview.expected_s
        if expected_s is None and planned.preview.change in {ChangeClass.FULL_RELOAD, ChangeClass.LOAD}:
            expected_s = self._load_s.get(change.model)
        return replace(planned, preview=replace(planned.preview, expected_s=expected_s)), situation

    # -- loading --------------------------------------------------------------------------

    async def _load(self, planned: Plan, situation: Situation, progress: Progress) -> None:
        """Send a load and see it through.

        Raises:
            OperationFailed: it failed; what served before serves again.
            ReadError: the server does not answer.
        """
        server, model = self._connected(), situation.model
        reason = ReasonInLog(self._log_lines, model)
        try:
            await self._call_load(model, planned, progress)
        except Refused as refused:
            raise await self._explained(refused, situation, reason) from refused
        except (TimedOut, LostConnection, Unreachable, Stopping) as error:
            try:
                sent = SentLoad(model, planned.wanted, situation.current, reason)
                await until_known(server, sent, self._patience, progress)
            except ReadError as silence:
                raise Unreachable(
                    f"{silence.sentence} It went away while {model} was loaded, so what became of that is not known.",
                    "A server that is started again has the configuration of its repository.",
                ) from error

    async def _call_load(self, model: str, planned: Plan, progress: Progress) -> None:
        """The call itself, with progress, and with an eye on whether the server is still there."""
        server = self._connected()
        loop = asyncio.get_running_loop()
        began = loop.time()
        about = f" of about {planned.preview.expected_s:.1f} s" if planned.preview.expected_s else ""
        call = asyncio.ensure_future(server.load(model, planned.wanted, self._load_timeout_s))
        silence = Silence(self._patience.silence_s)
        try:
            while not (await asyncio.wait({call}, timeout=_TELL_S))[0]:
                progress(f"loading {model}: {loop.time() - began:.1f} s{about}")
                try:
                    await server.is_live()
                    silence.broken()
                except ReadError as error:
                    silence.heard_nothing(error)
            await call
        finally:
            call.cancel()
        if planned.preview.change is ChangeClass.FULL_RELOAD or not planned.preview.pbtxt_before:
            self._load_s[model] = loop.time() - began

    async def _explained(self, refused: Refused, situation: Situation, reason: ReasonInLog) -> OperationFailed:
        """A refusal with its true reason, after making sure that what served before still does."""
        said = await reason.find() if refused.poll_failed else ""
        if said:
            sentence = f"{self._endpoint.name} refused: {quoted(said)}."
        elif refused.poll_failed and self._log_lines is None:
            sentence = f"{refused.sentence} Why is only in the server's log, which cannot be read from here."
        else:
            sentence = refused.sentence
        return OperationFailed(f"{sentence} {await self._restored(situation)}".rstrip())

    async def _restored(self, situation: Situation) -> str:
        """Bring a model back that was READY and is not any more, and say how things stand.

        The server keeps the former copy of a model that cannot be loaded, but not the former
        ensemble (seen on 2.51); a plain load would say OK and leave it out.
        """
        server, model, current = self._connected(), situation.model, situation.current
        if current is None:
            return f"{model} is not loaded."
        if ready_versions(await server.index(), model):
            return f"{model} goes on as it was."
        try:
            await server.load(model, current, self._load_timeout_s)
        except (Refused, ReadError) as error:
            return f"{model} is not served any more, and could not be brought back: {error.sentence}"
        return f"{model} was out for a moment and has its former configuration again."

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
            done = _sentence(change, preview, before.ready, ready)
        return Outcome(
            text="; ".join((done, *notes)),
            changed=True,
            preview=preview,
            versions_before=before.ready,
            versions_after=ready,
        )

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
                f"version {change.version} of {change.model} is not in the repository; served: {_listed(ready)}."
            )


def _change_of(operation: ModelOperation) -> ModelChange:
    if isinstance(operation, PreviewEdit):
        return EditConfig(operation.server, operation.model, operation.edit)
    return operation.change if isinstance(operation, PreviewChange) else operation


def _refuse(change: ModelChange, preview: Preview) -> None:
    """Raise where a change must not be sent.

    Raises:
        OperationFailed: with everything that is wrong.
    """
    if obstacle := preview.obstacle:
        raise OperationFailed(f"not sent: {obstacle}")
    if isinstance(change, EditConfig) and change.based_on not in {"", preview.pbtxt_before}:
        raise OperationFailed(
            f"not sent: somebody else has changed {change.model} since the edit began.", "Look at it again."
        )
    confirmed = change.confirmed_losses if isinstance(change, EditConfig | LoadModel) else ()
    lost = [field for field in preview.lost_fields if field not in confirmed]
    if lost:
        raise OperationFailed(
            f"not sent: {change.model} would lose {', '.join(lost)}.", "Confirm each of them, or keep them."
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


def _sentence(change: ModelChange, preview: Preview, before: Sequence[int], after: Sequence[int]) -> str:
    if preview.change is ChangeClass.LOAD:
        return f"{change.model} loaded, serving {_listed(after)}"
    if set(before) != set(after):
        return f"{change.model} serves {_listed(after)}, {preview.change}"
    fields = "; ".join(str(one) for one in preview.diff[:_TOLD_FIELDS])
    more = f" and {len(preview.diff) - _TOLD_FIELDS} more" if len(preview.diff) > _TOLD_FIELDS else ""
    return f"{change.model}: {fields}{more}, {preview.change}"


def _listed(versions: Sequence[int]) -> str:
    return f"version{'s' if len(versions) > 1 else ''} {', '.join(map(str, versions))}"
