"""Sending a load or an unload, seeing it through, and telling a refusal with its true reason."""

from __future__ import annotations

import asyncio

from collectors.grpc_faults import LostConnection, quoted
from tritop.change import ChangeClass
from tritop.control.compare import completed
from tritop.control.plan import Plan
from tritop.control.reason import ReasonInLog
from tritop.control.server import Config, Refused, TritonServer
from tritop.control.server_log import ServerLog
from tritop.control.settle import Patience, Progress, SentLoad, Silence, same_but_versions, until_known, until_unloaded
from tritop.control.situation import Situation
from tritop.control.versions import ready_versions
from tritop.errors import OperationFailed, ReadError, Stopping, TimedOut, Unreachable

_LONG_IN_PLACE_S = 15.0
"""From then on a change in place is held back by requests, see `consequences`, and no longer by what it does."""
_TELL_S = 0.1
"""How often progress is told while a call is under way, and the model looked at."""


class Sender:
    """Sends what was planned to one server.

    Args:
        name: of the server, for sentences.
        server: the calls to it.
        log: of the server.
        load_timeout_s: see `Control`.
        patience: see `Control`.
    """

    def __init__(
        self,
        name: str,
        server: TritonServer,
        *,
        log: ServerLog,
        load_timeout_s: float | None,
        patience: Patience,
    ) -> None:
        self._name = name
        self._server = server
        self._log = log
        self._load_timeout_s = load_timeout_s
        self._patience = patience
        self.load_s: dict[str, float] = {}
        """How long the last full load of a model took [s]."""

    async def send(self, planned: Plan, situation: Situation, progress: Progress) -> Config | None:
        """Send what is planned and see it through.

        Returns:
            A configuration of somebody else's that the model had in between, which this one replaced.

        Raises:
            TritopError: as `_load`, or the unload takes too long.
        """
        if planned.preview.change is not ChangeClass.UNLOAD:
            return await self._load(planned, situation, progress)
        await self._server.unload(situation.model)
        await until_unloaded(self._server, situation.model, self._patience, progress)
        return None

    async def _load(self, planned: Plan, situation: Situation, progress: Progress) -> Config | None:
        """Send a load and see it through; returns as `_send`.

        Raises:
            OperationFailed: it failed; what served before serves again.
            ReadError: the server does not answer.
        """
        server, model = self._server, situation.model
        reason = ReasonInLog(self._log, model)
        try:
            return await self._call_load(planned, situation, progress)
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
        return None

    async def _call_load(self, planned: Plan, situation: Situation, progress: Progress) -> Config | None:
        """The call itself, with progress, and with an eye on the server and on what the model has meanwhile.

        The server carries out the loads of a model one after the other, so that one which was sent
        before this one is seen in force while this one is loaded.
        """
        server, model = self._server, situation.model
        loop = asyncio.get_running_loop()
        began = loop.time()
        about = f" of about {planned.preview.expected_s:.1f} s" if planned.preview.expected_s else ""
        in_place = planned.preview.change is ChangeClass.IN_PLACE
        call = asyncio.ensure_future(server.load(model, planned.wanted, self._load_timeout_s))
        silence = Silence(self._patience.silence_s)
        theirs: Config | None = None
        try:
            while not (await asyncio.wait({call}, timeout=_TELL_S))[0]:
                spent_s = loop.time() - began
                held_back = in_place and spent_s >= _LONG_IN_PLACE_S
                why = "; new instances may serve already, it ends when no request waits" if held_back else ""
                progress(f"loading {model}: {spent_s:.1f} s{about}{why}")
                try:
                    seen = await server.config(model)
                    silence.broken()
                    theirs = seen if _is_foreign(seen, planned.wanted, situation.current) else theirs
                except Refused:
                    silence.broken()
                except ReadError as error:
                    silence.heard_nothing(error)
            await call
        finally:
            call.cancel()
        if planned.preview.change is ChangeClass.FULL_RELOAD or not planned.preview.pbtxt_before:
            self.load_s[model] = loop.time() - began
        return theirs

    async def _explained(self, refused: Refused, situation: Situation, reason: ReasonInLog) -> OperationFailed:
        """A refusal with its true reason, after making sure that what served before still does."""
        said = await reason.find() if refused.poll_failed else ""
        if said:
            sentence = f"{self._name} refused: {quoted(said)}."
        elif refused.poll_failed and reason.unreadable:
            sentence = f"{refused.sentence} Why is only in the server's log: {reason.unreadable}"
        else:
            sentence = refused.sentence
        return OperationFailed(f"{sentence} {await self._restored(situation)}".rstrip())

    async def _restored(self, situation: Situation) -> str:
        """Bring a model back that was READY and is not any more, and say how things stand.

        The server keeps the former copy of a model that cannot be loaded, but not the former
        ensemble (seen on 2.51); a plain load would say OK and leave it out.
        """
        server, model, current = self._server, situation.model, situation.current
        if current is None:
            return f"{model} is not loaded."
        if ready_versions(await server.index(), model):
            return f"{model} goes on as it was."
        try:
            await server.load(model, current, self._load_timeout_s)
        except (Refused, ReadError) as error:
            return f"{model} is not served any more, and could not be brought back: {error.sentence}"
        return f"{model} was out for a moment and has its former configuration again."


def _is_foreign(seen: Config | None, wanted: Config | None, before: Config | None) -> bool:
    """Whether a configuration is neither the one that was there nor the one that is sent."""
    if seen is None or wanted is None or before is None or same_but_versions(seen, before):
        return False
    return not same_but_versions(completed(wanted, before), seen)
