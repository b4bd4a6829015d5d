"""Changes of models in a live session: one Control for each server that something is changed on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from tritop.change import Outcome
from tritop.endpoint import Endpoint
from tritop.operation import ModelOperation, PreviewChange, PreviewEdit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritop.control.control import Control


class ChangeDesk:
    """Previews changes and carries them out; what it needs is imported with the first of them."""

    def __init__(self) -> None:
        self._controls: dict[str, Control] = {}

    async def perform(
        self,
        operation: ModelOperation,
        endpoint: Endpoint,
        progress: Callable[[str], None],
        *,
        log_lines: Callable[[], Sequence[str]] | None,
    ) -> Outcome:
        """Carry one operation out, or find out what it would do.

        Args:
            operation: what is wanted.
            endpoint: of its server.
            progress: told a sentence now and then.
            log_lines: the newest lines of the server's log, where they can be read.

        Raises:
            TritopError: it was refused or did not happen.
        """
        control = self._control_of(endpoint, log_lines)
        if isinstance(operation, PreviewEdit | PreviewChange):
            preview = await control.preview(operation)
            return Outcome(str(preview.change), changed=False, preview=preview)
        return await control.perform(operation, progress)

    def _control_of(self, endpoint: Endpoint, log_lines: Callable[[], Sequence[str]] | None) -> Control:
        control = self._controls.get(endpoint.name)
        if control is None:
            from tritop.control.control import Control

            control = self._controls[endpoint.name] = Control(endpoint, log_lines=log_lines)
        return control

    async def close(self) -> None:
        """Close every connection: an open one can hold up a server's shutdown."""
        controls = list(self._controls.values())
        self._controls.clear()
        await asyncio.gather(*(control.aclose() for control in controls))
