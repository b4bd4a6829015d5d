"""An embedded Triton that is started, supervised and shown by tritop, and ends with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure
from tritop.model import Launch
from tritop.operation import Wish
from tritop.runtimes.local import LocalServer
from tritop.runtimes.local_runtime import LocalRuntime, Prepare, need_nothing
from tritop.runtimes.ports import kept_or_free
from tritop.runtimes.supervised import Supervised
from tritop.runtimes.supervisor import Desired, Phase, Policy, Supervision
from tritop.server_spec import Ports


class EmbeddedServer:
    """One supervised embedded server. Drive it from one event loop; `launch` may be called from any thread.

    Args:
        repository: the model repository.
        name: what the server is called on the screen.
        arguments: further arguments of tritonserver.
        remove_at_end: folders that are removed with the server, however tritop ends.
        prepare: see `LocalRuntime`.
        policy: the supervisor's limits and waits.
    """

    def __init__(
        self,
        repository: Path,
        *,
        name: str,
        arguments: Sequence[str] = (),
        remove_at_end: Sequence[Path] = (),
        prepare: Prepare = need_nothing,
        policy: Policy | None = None,
    ) -> None:
        self._name = name
        self._ports: Ports | None = None
        self._server = LocalServer(
            repository, name=name, arguments=arguments, remove_at_end=remove_at_end, pick_ports=self._pick_ports
        )
        self._runtime = LocalRuntime(self._server, prepare=prepare)
        self._policy = policy or Policy()
        self._supervised: Supervised | None = None

    def _pick_ports(self) -> Ports:
        self._ports = kept_or_free(self._ports)
        return self._ports

    async def open(self) -> None:
        """Begin to supervise; returns once its first run has begun.

        Raises:
            RuntimeFailure: no run can be begun here. It is supervised nevertheless, so that it can be
                asked to start once that is mended.
        """
        supervised = Supervised(
            self._runtime,
            desired=Desired.RUN,
            keep=_keep_nothing,
            reload=_nothing_kept,
            policy=self._policy,
        )
        self._supervised = supervised
        self._runtime.open(supervised.wake)
        supervised.begin(self._name)
        state = await supervised.until(lambda state: bool(state.run) or state.phase is Phase.FAILED)
        if not state.run:
            raise RuntimeFailure(state.explanation, state.advice)

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is; another run may have other ports, where somebody took the former ones.

        Raises:
            RuntimeFailure: it has not been started yet.
        """
        return self._server.endpoint

    @property
    def state(self) -> Supervision:
        """The supervisor's state."""
        return self._supervised.state if self._supervised is not None else Supervision()

    def ask(self, wish: Wish) -> None:
        """Start, stop or restart it, or stop it and forget its run; its outcome shows in `launch`.

        Raises:
            RuntimeFailure: it is not supervised.
        """
        if self._supervised is None or not self._supervised.active:
            raise RuntimeFailure(f"{self._name} is not supervised.")
        self._supervised.ask(wish)

    async def until(self, condition: Callable[[Supervision], bool]) -> Supervision:
        """Wait for a state of the supervisor.

        Raises:
            RuntimeFailure: it is not supervised.
        """
        if self._supervised is None:
            raise RuntimeFailure(f"{self._name} is not supervised.")
        return await self._supervised.until(condition)

    def launch(self) -> Launch:
        """What is known of it now."""
        return self._runtime.launch(self.state)

    async def stop(self) -> None:
        """Stop the server and supervise it no more; its log goes with it. Never raises."""
        if self._supervised is not None:
            await self._supervised.end()
        await self._runtime.close()
        await self._server.stop()


def _keep_nothing(desired: Desired, stopping: str) -> None:
    """An embedded server ends with tritop, and the operator's word about it as well."""


def _nothing_kept() -> tuple[Desired, str] | None:
    return None
