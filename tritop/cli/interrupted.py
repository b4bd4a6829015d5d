"""Looks at the servers of changes that a killed tritop had begun, so that the ledger can say what became of them."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from tritop.errors import TritopError, UsageError

if TYPE_CHECKING:
    from tritop.config import Configuration
    from tritop.control.ledger import Ledger
    from tritop.endpoint import Endpoint

_LOOK_S = 3.0
"""The list is not held up any longer by servers that do not answer; what became of a change is then said later."""


def settle(namespace: argparse.Namespace, ledger: Ledger) -> None:
    """Write down what became of interrupted changes, as far as their servers answer.

    Raises:
        OperationFailed: the ledger cannot be read.
    """
    from tritop.control.interrupted import interrupted

    addresses = {entry.endpoint for entry in interrupted(ledger.entries(), "", time.time())}
    if not addresses:
        return
    import asyncio

    from tritop.cli.serving import configuration_of

    configuration = configuration_of(namespace)
    endpoints = [endpoint for address in sorted(addresses) if (endpoint := _endpoint(configuration, address))]
    asyncio.run(_look_at(endpoints, ledger))


def _endpoint(configuration: Configuration, address: str) -> Endpoint | None:
    """The server at an address, with its credentials where it is configured; `None` where they cannot be used."""
    from tritop.config import resolve_targets
    from tritop.endpoint import place_of
    from tritop.target import parse_target

    try:
        named = [
            name
            for name, table in configuration.file.targets.items()
            if (target := parse_target(table.address)) and place_of(f"{target.host}:{target.grpc_port}") == address
        ]
        return resolve_targets(configuration, [*named, address][:1]).endpoints[0]
    except UsageError:
        return None


async def _look_at(endpoints: list[Endpoint], ledger: Ledger) -> None:
    import asyncio

    from tritop.control.control import Control
    from tritop.control.recorded import RecordedControl

    async def look(endpoint: Endpoint) -> None:
        control = RecordedControl(endpoint, Control(endpoint), ledger)
        try:
            async with asyncio.timeout(_LOOK_S):
                await control.settle_interrupted()
        except (TritopError, TimeoutError):
            return
        finally:
            await control.aclose()

    await asyncio.gather(*map(look, endpoints))
