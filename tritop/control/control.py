"""Carries changes of models out on one running server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tritop.change import Outcome, Preview
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed
from tritop.operation import ModelChange, ModelOperation

Progress = Callable[[str], None]
"""Called with a sentence while a change is under way."""


class Control:
    """Changes models of one server, always over gRPC, and looks at what became of it.

    Lives on one event loop. Changes of the same model must not run side by side: the session's
    lanes see to that.

    Args:
        endpoint: the server; nothing is changed on a read-only one.
        log_lines: the newest lines of the server's log, for the reason that Triton keeps there;
            `None` where it cannot be read.
    """

    def __init__(self, endpoint: Endpoint, *, log_lines: Callable[[], Sequence[str]] | None = None) -> None:
        self._endpoint = endpoint
        self._log_lines = log_lines

    async def preview(self, operation: ModelOperation) -> Preview:
        """What an operation would do; changes nothing.

        Raises:
            OperationFailed: there is no such model, or the server does not say.
            UsageError: the edit contradicts itself.
        """
        raise OperationFailed("previews are not there yet.")

    async def perform(self, operation: ModelChange, progress: Progress) -> Outcome:
        """Carry a change out and return once the server is seen in its new state.

        Raises:
            OperationFailed: it was not sent, or the server refused; the sentence says why.
            UsageError: the edit contradicts itself.
        """
        raise OperationFailed("changes are not there yet.")

    async def aclose(self) -> None:
        """Close the connection."""
