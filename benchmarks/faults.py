"""Ten rounds of random faults against supervised Triton containers, on a real engine.

Two servers are supervised, two containers of somebody else stand beside them. Each round hits one
server, or the engine, with one fault, and waits until everything is as it is wanted again. After
each round exactly the wanted servers run, each once, and nothing that is not ours was touched.

As root a private engine is used, which can be stopped and frozen too; otherwise the one at hand.
Run `python -m benchmarks.faults [SEED]`; the last line is one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import docker

from tests.e2e.engine.engine_stage import EngineStage, Hosted
from tests.e2e.engine.private_engine import PrivateEngine, private_engine
from tests.e2e.triton_calls import infer_tiny
from tests.running_triton import LoopThread
from tests.triton_image import provide_image
from tritop.demo.repository import write_repository
from tritop.runtimes.supervisor import Desired, Phase, Wish

ROUNDS = 10
ASKED = (Phase.STOPPED, Phase.ABSENT)
ENGINE_TIMEOUT_S = 2.0
"""How long the supervisors wait for an engine that hangs."""
BYSTANDERS = (["sleep", "86400"], ["tritonserver", "--model-repository=/models"])
"""What the containers of somebody else run: anything, and a Triton that is not ours."""
KILL_TRITON = """
for folder in /proc/[0-9]*; do
  read -r -d '' command < $folder/cmdline && [ "$command" = tritonserver ] && kill -9 ${folder#/proc/}
done
"""


@dataclass
class World:
    """Everything that a round may hit.

    Attributes:
        stage: the engine with its servers.
        servers: those under supervision, by letter.
        engine: the private engine, `None` on one that must not be stopped.
        wanted: what the operator's last word is for each server.
        chance: decides everything that is left to chance.
    """

    stage: EngineStage
    servers: dict[str, Hosted]
    engine: PrivateEngine | None
    wanted: dict[str, Desired]
    chance: random.Random

    def running(self) -> list[str]:
        """The servers that are wanted to run."""
        return [name for name, desired in self.wanted.items() if desired is Desired.RUN]


Fault = Callable[[World, str], None]


def server_is_killed(world: World, name: str) -> None:
    """`kill -9` of tritonserver, not through the engine: a crash."""
    before = world.servers[name].state.restarts
    world.stage.docker("exec", world.servers[name].container_name, "bash", "-c", KILL_TRITON)
    world.servers[name].until(lambda state: state.restarts > before)


def stub_is_killed(world: World, name: str) -> None:
    """`kill -9` of a Python model's process; the server itself goes on."""
    listed = subprocess.run(
        ["docker", "top", world.servers[name].container_name, "-eo", "pid,args"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | ({"DOCKER_HOST": world.stage.address} if world.stage.address else {}),
    ).stdout
    pid = next(int(line.split()[0]) for line in listed.splitlines() if "/models/tiny/1/" in line)
    os.kill(pid, signal.SIGKILL)
    world.servers[name].until(lambda state: state.phase is Phase.NOT_READY)


def somebody_stops_it(world: World, name: str) -> None:
    """`docker stop`: a wish."""
    world.stage.docker("stop", "--time", "30", world.servers[name].container_name)
    world.wanted[name] = Desired.STOP


def somebody_removes_it(world: World, name: str) -> None:
    """`docker rm -f`: a wish as well."""
    world.stage.docker("rm", "--force", world.servers[name].container_name)
    world.wanted[name] = Desired.STOP


def somebody_pauses_it(world: World, name: str) -> None:
    """`docker pause`, seen, and `docker unpause`."""
    world.stage.docker("pause", world.servers[name].container_name)
    world.servers[name].until_phase(Phase.PAUSED)
    world.stage.docker("unpause", world.servers[name].container_name)


def operator_restarts_it(world: World, name: str) -> None:
    """A restart through tritop."""
    world.servers[name].ask(Wish.RESTART)
    world.servers[name].until(lambda state: state.phase is Phase.STOPPING)


def another_tritop_takes_over(world: World, name: str) -> None:
    """This tritop ends, and another one adopts the container."""
    before = world.servers[name]
    before.let_go()
    world.servers[name] = world.stage.hosted(before.server.spec, wish=None).open()


def tritop_is_killed(world: World, name: str) -> None:
    """`kill -9` of a tritop at any moment of a restart or a stop, and another one adopts what it left."""
    before = world.servers[name]
    before.let_go()
    process = world.stage.tritop(world.chance.choice(("restart", "down")), before.name)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(world.chance.uniform(0.0, 6.0))
    process.kill()
    process.communicate()
    # The word that it has kept counts, whatever it came to do about it.
    world.wanted[name] = world.stage.desired(before)
    world.servers[name] = world.stage.hosted(before.server.spec, wish=None).open()


def engine_is_restarted(world: World, name: str) -> None:
    """The engine stops, taking every container along, and starts again."""
    assert world.engine is not None
    world.engine.stop()
    world.servers[name].until_phase(Phase.ENGINE_LOST)
    world.engine.start()


def engine_hangs(world: World, name: str) -> None:
    """The engine answers nobody for a while."""
    assert world.engine is not None
    world.engine.send(signal.SIGSTOP)
    try:
        world.servers[name].until_phase(Phase.ENGINE_LOST)
    finally:
        world.engine.send(signal.SIGCONT)


FAULTS: tuple[Fault, ...] = (
    server_is_killed,
    stub_is_killed,
    somebody_stops_it,
    somebody_removes_it,
    somebody_pauses_it,
    operator_restarts_it,
    another_tritop_takes_over,
    tritop_is_killed,
)
ENGINE_FAULTS: tuple[Fault, ...] = (engine_is_restarted, engine_hangs)


def settle(world: World) -> None:
    """Wait until every server is as it is wanted."""
    for name, hosted in world.servers.items():
        hosted.until_phase(*((Phase.READY,) if world.wanted[name] is Desired.RUN else ASKED))


def check(world: World, bystanders: dict[str, Any]) -> None:
    """Exactly the wanted servers run, each once; what is not ours is as it was."""
    for name, hosted in world.servers.items():
        found = world.stage.containers(hosted.container_name)
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        runs = [one for one in found if one["State"] == "running"]
        assert bool(runs) == (world.wanted[name] is Desired.RUN), f"{name}: wanted {world.wanted[name]}, found {found}"
        assert world.stage.desired(hosted) is world.wanted[name]
        if runs:
            world.stage.run(infer_tiny(hosted.endpoint, 1))
    assert state_of(world.stage, bystanders) == bystanders, "somebody else's container was touched"


def state_of(stage: EngineStage, names: Iterable[str]) -> dict[str, Any]:
    """What could show that a container was touched."""
    shown = {name: stage.client.api.inspect_container(name) for name in names}
    return {name: {key: one[key] for key in ("Id", "State", "RestartCount", "Name")} for name, one in shown.items()}


@contextmanager
def world_on(
    client: docker.DockerClient, engine: PrivateEngine | None, folder: Path, chance: random.Random
) -> Iterator[World]:
    """Two servers that are READY and two containers of somebody else, all gone afterwards."""
    loop = LoopThread()
    models = folder / "models"
    write_repository(models)
    for model in ("matrix", "pipeline", "broken"):
        shutil.rmtree(models / model)
    stage = EngineStage(client, provide_image(client), models, folder, loop)
    stage.address = engine.address if engine is not None else None
    stage.engine_timeout_s = ENGINE_TIMEOUT_S
    try:
        for name, command in zip(bystanders_of(stage), BYSTANDERS, strict=True):
            stage.other(name, command, init=True).start()
        servers = {name: stage.hosted(stage.spec(name)).open() for name in ("a", "b")}
        world = World(stage, servers, engine, dict.fromkeys(servers, Desired.RUN), chance)
        settle(world)
        yield world
    finally:
        stage.clean()
        loop.close()


def bystanders_of(stage: EngineStage) -> tuple[str, ...]:
    """Names of the containers of somebody else."""
    return tuple(f"{stage.prefix}-bystander-{number}" for number in range(len(BYSTANDERS)))


def deck(world: World) -> Iterator[Fault]:
    """Faults in random order, each once before any comes again."""
    faults = list(FAULTS + (ENGINE_FAULTS if world.engine is not None else ()))
    while True:
        world.chance.shuffle(faults)
        yield from faults


def play(world: World, rounds: int, took: list[float]) -> None:
    """So many rounds; notes the seconds from each fault until all was as wanted again and checked.

    Raises:
        AssertionError: a rule was broken.
    """
    bystanders = state_of(world.stage, bystanders_of(world.stage))
    for number, fault in enumerate(islice(deck(world), rounds), start=1):
        if not world.running():
            for name, hosted in world.servers.items():
                hosted.ask(Wish.START)
                world.wanted[name] = Desired.RUN
            settle(world)
        name = world.chance.choice(world.running())
        began = time.monotonic()
        fault(world, name)
        settle(world)
        seconds = time.monotonic() - began
        if fault is engine_is_restarted:
            # The engine itself stopped them; that nobody starts them again is part of the check that follows.
            bystanders = state_of(world.stage, bystanders)
        check(world, bystanders)
        took.append(seconds)
        print(f"round {number:2}: {fault.__name__} ({name}), all as wanted after {seconds:.1f} s", file=sys.stderr)


def main() -> int:
    """Play and print; 0 when every round kept the rules."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", file=sys.stderr)
    took: list[float] = []
    broken = ""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="f-")))
        engine = stack.enter_context(private_engine()) if os.geteuid() == 0 else None
        client = engine.client() if engine is not None else docker.from_env(timeout=60)
        stack.callback(client.close)
        world = stack.enter_context(world_on(client, engine, folder, random.Random(seed)))
        try:
            play(world, ROUNDS, took)
        except AssertionError as error:
            broken = str(error)
            print(f"broken: {broken}", file=sys.stderr)
    kept = len(took)
    slowest = round(max(took), 1) if took else None
    print(
        json.dumps(
            {
                "benchmark": "faults",
                "value": kept,
                "unit": "rounds after which exactly the wanted servers ran and nothing else was touched",
                "budget": ROUNDS,
                "met": kept == ROUNDS,
                "seed": seed,
                "slowest_s": slowest,
                "broken": broken or None,
            }
        )
    )
    return 0 if kept == ROUNDS else 1


if __name__ == "__main__":
    sys.exit(main())
