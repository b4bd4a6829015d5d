"""A few rounds of `benchmarks.faults` with a seed of its own: what is wanted runs, and nothing else was touched."""

from __future__ import annotations

import random
from pathlib import Path

import docker
import pytest

from benchmarks.faults import play, world_on

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

ROUNDS = 4
SEED = 41


def test_rounds_of_random_faults(engine_client: docker.DockerClient, tmp_path: Path) -> None:
    took: list[float] = []
    with world_on(engine_client, None, tmp_path, random.Random(SEED)) as world:
        play(world, ROUNDS, took)
    assert len(took) == ROUNDS
