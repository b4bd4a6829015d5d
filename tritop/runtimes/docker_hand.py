"""A hand on a container that no supervisor holds: one wish of an operator who was told whose it is.

By id, never by name, and with a last look immediately before. Nothing is ever forced: a container is
stopped as its server needs it, removed only once it does not run, and its volumes stay.
"""

from __future__ import annotations

from typing import Any

from tritop.operation import Wish
from tritop.runtimes.docker_client import CALL_TIMEOUT_S, open_client
from tritop.runtimes.docker_errors import EngineFailure, caught, engine_failure
from tritop.runtimes.engine_thread import call_apart
from tritop.runtimes.supervisor import EndingKind
from tritop.server_spec import EXIT_TIMEOUT_S, MANAGED, OWNER, STOP_MARGIN_S

STOP_TIMEOUT_S = EXIT_TIMEOUT_S + STOP_MARGIN_S
"""Triton's default exit timeout is 30 s; the engine's own default would kill it after 10 s."""


async def act(address: str, container_id: str, wish: Wish, *, owner: str, confirmed: bool) -> None:
    """Do what an operator asked for to one container.

    Args:
        address: of the engine.
        container_id: all of it.
        wish: what to do.
        owner: user@host of the operator.
        confirmed: the operator was told that it is not theirs, and means it.

    Raises:
        EngineFailure: it is gone, it is not this operator's and that was not confirmed, or the engine refused.
    """

    def run() -> None:
        client = open_client(address, CALL_TIMEOUT_S)
        try:
            _act(client.api, container_id, wish, owner=owner, confirmed=confirmed)
        except caught() as error:
            failure = engine_failure(error, f"{wish} it", address)
            if failure.kind is EndingKind.CANCELLED:
                failure = EngineFailure(
                    EndingKind.CANCELLED, f"the container {container_id[:12]} is gone.", "Nothing was touched."
                )
            raise failure from error
        finally:
            client.close()

    await call_apart(run, f"docker: {wish} {container_id[:12]}")


def _act(api: Any, container_id: str, wish: Wish, *, owner: str, confirmed: bool) -> None:
    shown = api.inspect_container(container_id)
    labels = (shown.get("Config") or {}).get("Labels") or {}
    if not confirmed and not (labels.get(MANAGED) == "1" and labels.get(OWNER) == owner):
        raise EngineFailure(
            EndingKind.PERMANENT,
            f"the container {str(shown.get('Name', '')).lstrip('/')} is not one that {owner} made with tritop.",
            "It is touched only after a confirmation.",
        )
    if wish is not Wish.START:
        _stop(api, shown)
    if wish in (Wish.START, Wish.RESTART):
        api.start(container_id)
    elif wish is Wish.REMOVE:
        api.remove_container(container_id, force=False, v=False)


def _stop(api: Any, shown: dict[str, Any]) -> None:
    state = shown.get("State") or {}
    if not state.get("Running"):
        return
    if state.get("Paused"):
        # A frozen process cannot end; it would be killed after the whole time.
        api.unpause(shown["Id"])
    own_s = (shown.get("Config") or {}).get("StopTimeout")
    api.stop(shown["Id"], timeout=max(int(own_s or 0), STOP_TIMEOUT_S))
