"""What a running server is asked at each look of its supervisor, wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tritop.endpoint import Endpoint
from tritop.runtimes.heal import reload_model
from tritop.runtimes.probe import HealthProbe
from tritop.runtimes.stubs import StubWatch
from tritop.runtimes.supervisor import Do, Health, Phase, Supervision

_STUBS_EVERY_S = 5.0


class Checkup:
    """Asks one server for its health, and now and then whether its stubs live. Drive it from one event loop."""

    def __init__(self) -> None:
        self._endpoint: Endpoint | None = None
        self._probe: HealthProbe | None = None
        self._stubs: StubWatch | None = None
        self._dead_stubs: tuple[str, ...] = ()
        self._stubs_at = 0.0
        self._alarms_seen = 0

    async def health(self, endpoint: Endpoint | None, state: Supervision) -> Health:
        """What the server says; it is not asked while it is being stopped, nor without an address."""
        if endpoint is None or (state.doing is not None and state.doing.do is Do.STOP):
            return Health.UNKNOWN
        if endpoint != self._endpoint:
            await self.close()
            self._endpoint, self._stubs = endpoint, None
        self._probe = self._probe or HealthProbe(endpoint)
        return await self._probe.ask()

    async def dead_stubs(
        self, endpoint: Endpoint, state: Supervision, processes: Callable[[], list[list[str]] | None], alarms: int = 0
    ) -> tuple[str, ...]:
        """Models whose stub has died: looked for now and then, and at once after an alarm.

        Args:
            endpoint: of the server.
            state: only a server that has come up is looked at.
            processes: the command lines of its processes.
            alarms: how many of its processes the kernel has killed, as far as is known.
        """
        if state.phase not in (Phase.READY, Phase.NOT_READY):
            self._stubs = None
            return ()
        now = time.monotonic()
        due = now - self._stubs_at >= _STUBS_EVERY_S or alarms != self._alarms_seen or self._dead_stubs
        if due or (self._stubs is not None and self._stubs.suspects):
            self._stubs = self._stubs or StubWatch(endpoint)
            self._dead_stubs = await self._stubs.look(processes)
            self._stubs_at, self._alarms_seen = now, alarms
        return self._dead_stubs

    async def heal(self, endpoint: Endpoint, models: Sequence[str]) -> None:
        """Load models anew whose stub has died.

        Raises:
            OperationFailed: the server refuses, or a model does not load any more.
        """
        for model in models:
            await reload_model(endpoint, model)
        self._dead_stubs, self._stubs = (), None

    async def close(self) -> None:
        """Close the connection, such as before the server is stopped: an open one can hold up its end."""
        if self._probe is not None:
            await self._probe.close()
            self._probe = None
