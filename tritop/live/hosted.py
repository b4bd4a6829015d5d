"""What a session must know of a server that it runs itself, wherever that server runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tritop.endpoint import Endpoint
from tritop.model import Launch
from tritop.operation import Operation, Wish


class Hosted(Protocol):
    """One server that belongs to the session: started with it and, unless it says otherwise, stopped with it."""

    @property
    def name(self) -> str:
        """Name of the server, unique within the session."""
        ...

    async def start(self, submit: Callable[[Operation], None]) -> Endpoint:
        """Begin to start it and return as soon as its addresses are known.

        What follows (waiting for it, loading models) runs in tasks of its own and shows in
        `launch()`. `submit` is for what the server wants done once it is up, such as traffic.

        Raises:
            RuntimeFailure: it cannot be started here.
        """
        ...

    def launch(self) -> Launch:
        """What its runtime knows of it now; cheap, asked once per interval."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """Where it is now: another start may have brought other ports.

        Raises:
            RuntimeFailure: it has no address yet.
        """
        ...

    def ask(self, wish: Wish) -> None:
        """Start, stop, restart or remove it; what becomes of that shows in `launch()`.

        Raises:
            RuntimeFailure: it cannot be asked for that, as where it is not ours.
        """
        ...

    async def stop(self) -> None:
        """Stop it and return when it is gone. Collectors and traffic are closed before this is called."""
        ...
