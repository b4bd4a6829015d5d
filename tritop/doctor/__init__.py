"""`tritop doctor`: is this host fit to run Triton, and what mends it where it is not.

Every check is a function from facts to a `Check`; the facts are gathered by functions beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritop.doctor.check import Check, CheckState, from_error
from tritop.doctor.driver import Driver, check_driver, look_at_driver
from tritop.doctor.engine import (
    EngineFacts,
    ask_engine,
    check_disk,
    check_engine,
    check_gpu_support,
    free_disk,
    look_for_cdi,
    look_for_hook,
)
from tritop.doctor.gpu_test import Inside, check_inside, run_gpu_test
from tritop.doctor.host import check_embedded, check_ports, check_shm, check_terminal, look_at_terminal
from tritop.doctor.repository import check_repository
from tritop.errors import RuntimeFailure

__all__ = ["Check", "CheckState", "Request", "examine"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be looked at beside this host itself."""

    image: str
    """That Triton would be run from."""
    repository: Path | None = None
    base_port: int | None = None
    """The first of three ports, `None` for any free ones."""
    gpu_test_image: str = ""
    """An image to run for a moment with all GPUs, "" for none."""


def examine(request: Request) -> Iterator[Check]:
    """Look at everything, one check after another; each is there as soon as it is known."""
    driver = look_at_driver()
    facts: EngineFacts | None = None
    try:
        facts = ask_engine(request.gpu_test_image or request.image)
    except RuntimeFailure as failure:
        yield from_error("engine", failure)
    yield from _check_engine(facts, driver, request)
    yield from _check_host(request)
    backends: frozenset[str] | None = None
    if request.gpu_test_image:
        seen = run_gpu_test(request.gpu_test_image)
        if isinstance(seen, Inside):
            yield from check_inside(seen, request.gpu_test_image, len(driver.gpus) if driver.gpus else None)
        else:
            yield seen
            # Which backends the image has can be told without a GPU.
            seen = run_gpu_test(request.gpu_test_image, gpus=False)
        backends = seen.backends if isinstance(seen, Inside) else None
    if request.repository is not None:
        yield from check_repository(request.repository, backends)


def _check_engine(facts: EngineFacts | None, driver: Driver, request: Request) -> Iterator[Check]:
    image = request.gpu_test_image or request.image
    if facts is not None:
        yield check_engine(facts)
        yield check_gpu_support(facts, driver, look_for_hook(), look_for_cdi())
    yield check_driver(driver, image, facts.environment if facts is not None else {})
    if facts is not None:
        yield check_disk(facts, image, free_disk(facts))


def _check_host(request: Request) -> Iterator[Check]:
    from tritop.runtimes.port_owner import process_at
    from tritop.runtimes.ports import is_free

    yield from check_ports(request.base_port, is_free=is_free, owner_of=process_at)
    yield check_shm()
    yield check_embedded()
    yield check_terminal(look_at_terminal(os.environ))
