"""Make `tests/recordings/` anew from a real Triton: `python -m tests.make_recordings [NAME...]`.

Each function is one situation; its recording says in its events what was done when.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from google.protobuf import json_format

from tests.recording_stage import ERROR, PERIOD_S, RAISE, Stage, write_models
from tritop.record import Recorder
from tritop.runtimes.embedded import find_embedded_triton
from tritop.runtimes.local import LocalServer
from tritop.runtimes.ports import free_ports

FOLDER = Path(__file__).parent / "recordings"
CACHE = ("--cache-config=local,size=1048576", f"--cache-directory={find_embedded_triton().caches}")
Scene = Callable[[Stage], Awaitable[None]]
SCENES: dict[str, tuple[Scene, tuple[str, ...]]] = {}
"""Name -> what is done, and the arguments of the server."""


def scene(*arguments: str) -> Callable[[Scene], Scene]:
    """Register a situation."""

    def register(function: Scene) -> Scene:
        SCENES[function.__name__] = (function, arguments)
        return function

    return register


@scene()
async def plain_load(stage: Stage) -> None:
    """Requests, and a load that changes nothing between them."""
    await stage.load("work")
    await stage.settle("loaded work")
    await asyncio.sleep(PERIOD_S)
    await stage.infer_many("work", 10)
    await stage.settle("10 requests")
    await stage.load("work")
    await stage.settle("loaded work again")
    await stage.infer_many("work", 6)
    await stage.settle("6 requests")
    await asyncio.sleep(PERIOD_S)
    await stage.look("nothing")


@scene()
async def in_place_update(stage: Stage) -> None:
    """A second instance, added while the model serves."""
    await stage.load("work")
    await stage.infer_many("work", 10)
    await stage.settle("loaded work, 10 requests")
    await asyncio.sleep(PERIOD_S)
    await stage.infer_many("work", 5)
    await stage.settle("5 requests")
    config = await stage.config("work")
    config.instance_group[0].count = 2
    error = await stage.watch(stage.load("work", json_format.MessageToJson(config)), "updated in place")
    await asyncio.sleep(PERIOD_S)
    await stage.infer_many("work", 7)
    await stage.settle(f"7 requests{error}")


@scene()
async def full_reload(stage: Stage) -> None:
    """Batching changed under traffic: the old model serves until the new one takes over."""
    await stage.load("work")
    stop = asyncio.Event()
    await stage.look("loaded work")
    traffic = asyncio.ensure_future(stage.traffic("work", stop))
    for _ in range(4):
        await asyncio.sleep(PERIOD_S)
        await stage.look("traffic")
    config = await stage.config("work")
    config.dynamic_batching.max_queue_delay_microseconds = 5000
    error = await stage.watch(stage.load("work", json_format.MessageToJson(config)), "reloaded")
    for _ in range(4):
        await asyncio.sleep(PERIOD_S)
        await stage.look("traffic")
    stop.set()
    failed = [answer for answer in await traffic if answer]
    await stage.settle(f"end of traffic, {len(failed)} failed{error}")


@scene()
async def unload_and_load(stage: Stage) -> None:
    """A model with failures is unloaded, watched until it is gone, and loaded again."""
    await stage.load("work")
    await stage.settle("loaded work")
    await asyncio.sleep(PERIOD_S)
    await stage.infer_many("work", 9)
    await stage.infer("work", RAISE)
    await stage.infer("work", RAISE)
    await stage.settle("9 requests, 2 that raise")
    await asyncio.sleep(PERIOD_S)
    await stage.unload("work")
    for _ in range(8):
        await stage.look("unloading")
        await asyncio.sleep(PERIOD_S)
    await stage.settle("unloaded")
    await stage.watch(stage.load("work"), "loaded")
    await asyncio.sleep(PERIOD_S)
    await stage.settle("loaded work")
    await stage.infer_many("work", 4)
    await stage.infer("work", RAISE)
    await stage.settle("4 requests, 1 that raises")


@scene()
async def version_dropped(stage: Stage) -> None:
    """Version 1 is dropped by the version policy while version 2 keeps serving, then it comes back."""
    await stage.load("work")
    await stage.infer_many("work", 5, version="1")
    await stage.infer_many("work", 8, version="2")
    await stage.settle("5 requests to version 1, 8 to version 2")
    await asyncio.sleep(PERIOD_S)
    config = await stage.config("work")
    config.version_policy.specific.versions.append(2)
    error = await stage.load("work", json_format.MessageToJson(config))
    for _ in range(8):
        await stage.look(f"dropped version 1{error}")
        await asyncio.sleep(PERIOD_S)
    await stage.infer_many("work", 3, version="2")
    await stage.settle("3 requests to version 2")


@scene()
async def failures(stage: Stage) -> None:
    """Every way in which requests fail, one after another; some are in no counter."""
    for model in ("work", "full", "timed"):
        await stage.load(model)
    await stage.settle("loaded")
    await asyncio.sleep(PERIOD_S)
    await stage.infer_many("work", 3, value=ERROR)
    await stage.settle("3 error responses from work")
    await asyncio.sleep(PERIOD_S)
    for _ in range(2):
        await stage.infer("work", RAISE)
    await stage.settle("2 exceptions in work")
    await asyncio.sleep(PERIOD_S)
    answers = await stage.infer_many("full", 20)
    refused = sum("Exceeds maximum queue size" in answer for answer in answers)
    await stage.settle(f"20 requests to full, {refused} refused by max_queue_size")
    await asyncio.sleep(PERIOD_S)
    answers = await stage.infer_many("timed", 6)
    expired = sum("Request timeout expired" in answer for answer in answers)
    await stage.settle(f"6 requests to timed, {expired} expired in the queue")
    await asyncio.sleep(PERIOD_S)
    answers = await stage.infer_many("full", 4, timeout_s=0.3)
    late = sum("DEADLINE" in answer for answer in answers)
    await stage.settle(f"4 requests to full, {late} canceled by the client")
    await asyncio.sleep(PERIOD_S)
    answers = await stage.infer_many("work", 2, version="7")
    await stage.settle(f"{sum(map(bool, answers))} requests to a version that does not exist")


@scene()
async def load_failed(stage: Stage) -> None:
    """A first load that fails, and an in-place update that is refused."""
    await stage.look("nothing is loaded")
    await stage.watch(stage.load("broken"), "broken did not load")
    await stage.load("work")
    await stage.settle("loaded work")
    config = await stage.config("work")
    config.instance_group[0].kind = config.instance_group[0].KIND_GPU
    config.instance_group[0].gpus.append(0)
    error = await stage.load("work", json_format.MessageToJson(config))
    await stage.settle(f"refused: {error}")


@scene("--metrics-config=counter_latencies=false")
async def counters_frozen(stage: Stage) -> None:
    """Traffic on a server whose counters stay at 0."""
    await stage.load("work")
    await stage.look("loaded work")
    for _ in range(5):
        await stage.infer_many("work", 10)
        await asyncio.sleep(PERIOD_S)
        await stage.look("10 requests")


@scene("--metrics-config=counter_latencies=false", "--metrics-config=summary_latencies=true")
async def counters_frozen_with_summaries(stage: Stage) -> None:
    """The same with summaries, which go on."""
    await stage.load("work")
    await stage.look("loaded work")
    for _ in range(3):
        await stage.infer_many("work", 10)
        await asyncio.sleep(PERIOD_S)
        await stage.look("10 requests")


@scene("--metrics-config=summary_latencies=true")
async def summaries(stage: Stage) -> None:
    """Quantiles while there is traffic, frozen after it, and NaN once their window has passed."""
    await stage.load("work")
    await stage.look("loaded work")
    for _ in range(4):
        await stage.infer_many("work", 10)
        await asyncio.sleep(PERIOD_S)
        await stage.look("10 requests")
    for _ in range(4):
        await asyncio.sleep(PERIOD_S)
        await stage.look("nothing")
    for _ in range(14):
        await asyncio.sleep(5.0)
        await stage.look("nothing for another 5 s")


@scene(*CACHE)
async def cache(stage: Stage) -> None:
    """The same request ten times: one miss, nine hits."""
    await stage.load("cached")
    await stage.settle("loaded cached")
    await asyncio.sleep(PERIOD_S)
    for _ in range(10):
        await stage.infer("cached", 2.0)
    await stage.settle("10 times the same request")
    await asyncio.sleep(PERIOD_S)
    for number in range(3):
        await stage.infer("cached", 3.0 + number)
    await stage.settle("3 new requests")


@scene()
async def ensemble(stage: Stage) -> None:
    """An ensemble of two steps: good requests, then ones that fail in a step."""
    await stage.load("work")
    await stage.load("both")
    await stage.settle("loaded work and both")
    await asyncio.sleep(PERIOD_S)
    await stage.infer_many("both", 8)
    await stage.settle("8 requests to both")
    await asyncio.sleep(PERIOD_S)
    for _ in range(3):
        await stage.infer("both", RAISE)
    await stage.settle("3 requests to both that fail in the first step")


@scene()
async def unload_and_load_at_once(stage: Stage) -> None:
    """A model is loaded again while it is still being unloaded: what `unload + load` as a reload does."""
    await stage.load("work")
    await stage.infer_many("work", 9)
    await stage.infer("work", RAISE)
    await stage.settle("loaded work, 9 requests, 1 that raises")
    await asyncio.sleep(PERIOD_S)
    await stage.unload("work")
    error = await stage.watch(stage.load("work"), "unloaded and loaded")
    await stage.infer_many("work", 4)
    await stage.settle(f"4 requests{error}")


@scene()
async def decoupled(stage: Stage) -> None:
    """Three streams of five responses in two seconds each, looked at while they run."""
    await stage.load("stream")
    await stage.settle("loaded stream")
    await asyncio.sleep(PERIOD_S)
    streams = [asyncio.ensure_future(stage.stream("stream")) for _ in range(3)]
    for _ in range(4):
        await asyncio.sleep(PERIOD_S)
        await stage.look("streaming" if not any(stream.done() for stream in streams) else "ending")
    responses = sum(await asyncio.gather(*streams))
    await stage.settle(f"3 streams gave {responses} responses")


@scene()
async def spectrum(stage: Stage) -> None:
    """Single requests, then many at once: two batch-size spectra and two loads."""
    await stage.load("work")
    await stage.settle("loaded work")
    for clients in (1, 24):
        stop = asyncio.Event()
        traffic = asyncio.ensure_future(stage.traffic("work", stop, clients))
        for _ in range(6):
            await asyncio.sleep(PERIOD_S)
            await stage.look(f"{clients} clients")
        stop.set()
        await traffic
    await asyncio.sleep(PERIOD_S)
    await stage.settle("nothing")


async def _record(name: str) -> None:
    play, arguments = SCENES.get(name, (None, ()))
    path = FOLDER / f"{name}.jsonl.xz"
    ports = free_ports()
    with tempfile.TemporaryDirectory() as work, Recorder(path) as recorder:
        repository = Path(work) / "models"
        write_models(repository)
        log_path = Path(work) / "log"
        server = LocalServer(repository, arguments=arguments, log_path=log_path, pick_ports=lambda: ports)
        try:
            await server.start()
            await server.wait_live()
            stage = Stage(server, recorder, repository)
            await (_restart(stage, server) if play is None else play(stage))
            await stage.close()
            await server.stop()
        finally:
            server.kill()
    print(f"{name}: {path.stat().st_size} bytes", file=sys.stderr)


async def _restart(stage: Stage, server: LocalServer) -> None:
    """The server is killed and started again at the same ports while it is looked at."""
    await stage.load("work")
    await stage.settle("loaded work")
    await asyncio.sleep(PERIOD_S)
    await stage.infer_many("work", 12)
    await stage.infer("work", RAISE)
    await stage.settle("12 requests, 1 that raises")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.launch().state == "READY":  # noqa: ASYNC110  the server tells nobody, it is asked
        await asyncio.sleep(0.02)
    for _ in range(3):
        await stage.look("killed")
        await asyncio.sleep(PERIOD_S)
    await server.start()
    await stage.watch(server.wait_live(), "started again")
    await stage.watch(stage.load("work"), "loaded work")
    await stage.infer_many("work", 5)
    await stage.settle("5 requests")


async def main(names: list[str]) -> None:
    """Record the named situations, or all of them."""
    for name in names or [*SCENES, "restarted"]:
        await _record(name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
