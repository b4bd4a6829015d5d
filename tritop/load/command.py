"""`tritop traffic MODEL`: send requests for a while, and say what came of it."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import threading
from dataclasses import dataclass

from tritop.cli.text import microseconds, rate
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, UsageError
from tritop.load.control import TrafficProcess
from tritop.load.outcome import Outcome
from tritop.load.schedule import Aim
from tritop.load.server_side import ServerSide
from tritop.model import Traffic, TrafficState

MAX_DURATION_S = 7 * 24 * 3600.0

_PROGRESS_S = 0.5
_STATISTICS_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class TrafficOptions:
    """The options of `tritop traffic`; exactly one of `concurrency` and `rate_per_s` is set."""

    model: str
    version: str = ""
    """"" lets the server choose for each request."""
    concurrency: int | None = None
    rate_per_s: float | None = None
    poisson: bool = False
    duration_s: float = 10.0
    """Measured, after the warm-up."""
    warmup_s: float = 1.0
    """Traffic before the measurement, which is not counted."""
    input_path: str = ""
    """JSON file with requests; "" makes them up from the model's metadata."""
    batch: int = 1
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """(input, dimensions without the batch); see `parse_shape`."""
    as_json: bool = False


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Take `NAME:1,2,3` apart; a name may hold colons.

    Raises:
        UsageError: it is of another form.
    """
    name, _, dims = text.rpartition(":")
    try:
        shape = tuple(int(dim) for dim in dims.split(","))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise UsageError(
            f"{text!r} is not the shape of an input.", "Such as --shape pixels:3,224,224, without the batch."
        )
    return name, shape


def run(endpoint: Endpoint, options: TrafficOptions) -> int:
    """Send traffic and print the result on stdout: a table, or one JSON object.

    Ctrl-C, SIGTERM and SIGHUP end it early; the result so far is printed all the same.

    Returns:
        0 if every request was answered, 1 if one failed or none was answered, 128 + the signal's
        number (130 for Ctrl-C) if it was interrupted.

    Raises:
        UsageError: the options do not fit each other or the model, or the file cannot be used.
        Unreachable: nobody answers at the address; the other ReadErrors likewise.
        OperationFailed: the model does not exist or cannot be sent independent requests.
    """
    aim = Aim(options.concurrency, options.rate_per_s, options.poisson)
    _check(options)
    return asyncio.run(_TrafficRun(endpoint, options, aim).run())


def _check(options: TrafficOptions) -> None:
    if not (0 < options.duration_s <= MAX_DURATION_S):
        raise UsageError(f"a duration of {options.duration_s:g} s is not above 0 and up to {MAX_DURATION_S:g} s.")
    if not (0 <= options.warmup_s <= MAX_DURATION_S):
        raise UsageError(f"a warm-up of {options.warmup_s:g} s is not between 0 and {MAX_DURATION_S:g} s.")
    if options.input_path and (options.batch != 1 or options.shapes):
        raise UsageError("--input holds whole requests with their shapes.", "Leave --batch and --shape out.")


class _TrafficRun:
    """One run of the verb."""

    def __init__(self, endpoint: Endpoint, options: TrafficOptions, aim: Aim) -> None:
        self._endpoint = endpoint
        self._options = options
        self._aim = aim
        self._signal: int | None = None
        self._interrupted = asyncio.Event()
        self._process = TrafficProcess(
            endpoint,
            model=options.model,
            version=options.version,
            batch=options.batch,
            shapes=options.shapes,
            input_path=os.path.abspath(options.input_path) if options.input_path else "",
        )

    async def run(self) -> int:
        self._handle_signals()
        try:
            await self._process.start()
            outcome = await self._measured()
        finally:
            await self._process.stop()
        if self._options.as_json:
            print(json.dumps(outcome.document()))
        else:
            print("\n".join(outcome.table()))
        if self._signal is not None:
            return 128 + self._signal
        return 0 if outcome.succeeded else 1

    def _handle_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._interrupt, number)

    def _interrupt(self, number: int) -> None:
        self._signal = self._signal or number
        self._interrupted.set()

    async def _measured(self) -> Outcome:
        options, aim = self._options, self._aim
        await self._process.set(concurrency=aim.concurrency, rate_per_s=aim.rate_per_s, poisson=aim.poisson)
        async with ServerSide(self._endpoint, options.model, options.version) as server_side:
            await self._wait(options.warmup_s, "warm-up")
            await server_side.read()
            self._process.measure()
            reading = asyncio.create_task(_keep_reading(server_side))
            try:
                await self._wait(options.duration_s, "")
                result = await self._process.conclude()
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            await server_side.read()
            return Outcome(
                server=self._endpoint.name,
                endpoint=self._endpoint.grpc_address,
                model=options.model,
                version=options.version,
                aim=aim,
                result=result,
                means=server_side.means(),
                means_fault=server_side.fault,
                interrupted=self._signal is not None,
            )

    async def _wait(self, seconds: float, phase: str) -> None:
        """Wait, with a line of progress, until the time or a signal ends it.

        Raises:
            OperationFailed: the traffic process has failed.
        """
        clock = asyncio.get_running_loop().time
        end_s = clock() + seconds
        line = _ProgressLine()
        try:
            while (left_s := end_s - clock()) > 0 and not self._interrupted.is_set():
                report = self._process.report()
                if report.state is TrafficState.FAILED:
                    raise OperationFailed(report.fault)
                line.show(_progress(report, left_s, phase))
                try:
                    await asyncio.wait_for(self._interrupted.wait(), min(left_s, _PROGRESS_S))
                except TimeoutError:
                    continue
        finally:
            line.clear()


async def _keep_reading(server_side: ServerSide) -> None:
    # Often enough that little is lost when a reload takes the counters back to 0.
    while True:
        await asyncio.sleep(_STATISTICS_S)
        await server_side.read()


class _ProgressLine:
    """One line on stderr that is written over, where stderr is a terminal."""

    def __init__(self) -> None:
        self._shown = False

    def show(self, text: str) -> None:
        if sys.stderr.isatty():
            # No wider than a small terminal, where a second line could not be taken back.
            print(f"\r\x1b[K{text[:78]}", end="", file=sys.stderr, flush=True)
            self._shown = True

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _progress(report: Traffic, left_s: float, phase: str) -> str:
    figures = (
        f"{rate(report.requests_per_s)} req/s  p50 {microseconds(report.p50_us)}  p99 {microseconds(report.p99_us)}"
    )
    errors = f"  {rate(report.errors_per_s)} err/s" if report.errors_per_s else ""
    bound = "  client-bound" if report.client_bound else ""
    return f"{figures}{errors}{bound}  {phase or 'for'} {math.ceil(left_s)} s"
