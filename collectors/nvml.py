"""The GPUs of this host, through a child process that uses NVML; see `collectors.nvml_child`.

NVML blocks for ever on some drivers and has crashed its process on a lost GPU. So it is the child
that hangs or crashes: it is then killed and started again, ever more seldom, and nothing else waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tritop.errors import AccessDenied, Garbled, ReadError, TimedOut, Unavailable
from tritop.model import Gpu, GpuProcess, MigDevice, Xid
from tritop.reading import GpuReading, HostProcess

__all__ = ["NvmlGpus"]

ANSWER_S = 2.0
"""A read waits this long; NVML's first answer takes seconds where the driver must be loaded first."""
SILENCE_S = 5.0
"""NVML that has not answered for this long hangs."""
ABSENT_PERIOD_S = 300.0
"""A host without a driver is asked again this often, since each time starts a process; `ReadNow` asks at once."""
MIN_BACK_OFF_S = 1.0
MAX_BACK_OFF_S = 30.0
STEADY_S = 60.0
"""A child that has answered for this long is not to blame for the one before it."""

_ENDING_S = 0.2
_CLOSE_S = 0.5
_LINE_BYTES = 8 * 1024 * 1024
"""64 GPUs with a thousand processes each are below this."""
_CHILD = (sys.executable, "-P", "-m", "collectors.nvml_child")
_KINDS: dict[str, type[ReadError]] = {"absent": Unavailable, "denied": AccessDenied, "failed": ReadError}


class NvmlGpus:
    """Collector of every GPU of this host.

    Args:
        command: starts the child.
        answer_s: how long a read waits.
        silence_s: how long the child may take to answer before it is killed.
        clock: wall time [s].
        monotonic: monotonic time [s].
    """

    name = "nvml"

    def __init__(
        self,
        *,
        command: Sequence[str] = _CHILD,
        answer_s: float = ANSWER_S,
        silence_s: float = SILENCE_S,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pcie = False
        """Whether PCIe throughput is to be read; it comes one reading later."""
        self._command = tuple(command)
        self._answer_s = answer_s
        self._silence_s = silence_s
        self._clock = clock
        self._monotonic = monotonic
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=5)
        self._line: asyncio.Task[bytes] | None = None
        """The answer that is waited for, also after the read that asked for it has given up."""
        self._asked_mono = 0.0
        self._steady_mono: float | None = None
        """When the child gave its first answer."""
        self._failures = 0
        self._retry_mono = 0.0
        self._last_error: ReadError | None = None
        self._absent = False
        self._number = 0

    @property
    def period_s(self) -> float | None:
        """The session's own, but where there is no driver, which seldom changes."""
        return ABSENT_PERIOD_S if self._absent else None

    @property
    def pid(self) -> int | None:
        """Of the child, `None` while there is none."""
        return self._process.pid if self._process is not None else None

    async def read(self) -> GpuReading:
        """Ask the child.

        Raises:
            Unavailable: there is no driver.
            AccessDenied: the driver is not for this user.
            TimedOut: NVML hangs; after `silence_s` the child is killed and started again.
            Garbled: the child's answer makes no sense.
            ReadError: NVML crashed, or does not start.
        """
        if self._monotonic() < self._retry_mono and self._last_error is not None:
            raise self._last_error
        process = self._process or await self._start()
        if self._line is None:
            self._ask(process)
        assert self._line is not None
        # Not wait_for: a late answer is taken by the next read instead of being thrown away.
        await asyncio.wait((self._line,), timeout=self._answer_s)
        if not self._line.done():
            raise await self._silent()
        line, self._line = self._line, None
        return await self._answer(process, line)

    async def aclose(self) -> None:
        """End the child."""
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _CLOSE_S)
        await self._end()

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            # Its own session: a Ctrl-C at the terminal is for us, and the child ends with its stdin.
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES,
                start_new_session=True,
            )
        except OSError as error:
            raise self._failed(ReadError(f"The NVML process cannot be started: {error.strerror}.")) from error
        self._said.clear()
        self._steady_mono = None
        self._stderr = asyncio.create_task(self._read_stderr(process), name="nvml stderr")
        return process

    def _ask(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._number += 1
        self._asked_mono = self._monotonic()
        command = json.dumps({"read": self._number, "pcie": self.pcie}).encode() + b"\n"
        with contextlib.suppress(ConnectionError):  # it has ended; reading says how
            process.stdin.write(command)
        self._line = asyncio.create_task(process.stdout.readline(), name="nvml answer")

    async def _silent(self) -> ReadError:
        waited_s = self._monotonic() - self._asked_mono
        silent = f"NVML has said nothing for {waited_s:.0f} s"
        if waited_s < self._silence_s:
            return TimedOut(f"{silent}.", "The driver may be loading; the GPUs come when it answers.")
        await self._end()
        return self._failed(
            TimedOut(f"{silent}, and its process was killed.", "Does nvidia-smi answer? The driver may hang.")
        )

    async def _answer(self, process: asyncio.subprocess.Process, line: asyncio.Task[bytes]) -> GpuReading:
        try:
            text = line.result()
        except (ValueError, ConnectionError) as error:
            await self._end()
            raise self._failed(Garbled(f"The NVML process answered nonsense: {error}.")) from error
        if not text.endswith(b"\n"):
            raise await self._ended(process)
        try:
            answer = json.loads(text)
            fault = answer.get("fault")
            reading = None if fault is not None else reading_of(answer, self._clock(), self._monotonic())
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            await self._end()
            raise self._failed(Garbled(f"The NVML process answered nonsense: {error!r}.")) from error
        if reading is None:
            await self._end()
            raise self._refused(fault)
        self._answered()
        return reading

    def _answered(self) -> None:
        self._absent = False
        if self._steady_mono is None:
            self._steady_mono = self._monotonic()
        elif self._monotonic() - self._steady_mono > STEADY_S:
            self._failures = 0

    async def _ended(self, process: asyncio.subprocess.Process) -> ReadError:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _CLOSE_S)
        code = process.returncode
        await self._end()
        return self._failed(
            ReadError(
                f"The NVML process {_ending(code)}.{self._last_words()}", "Does nvidia-smi work? What does dmesg say?"
            )
        )

    def _last_words(self) -> str:
        return f" It said: {self._said[-1]}" if self._said else ""

    def _refused(self, fault: dict[str, str]) -> ReadError:
        """The error for a fault that the child named before it ended."""
        kind = _KINDS.get(fault["kind"], ReadError)
        error = kind(fault["sentence"], fault["advice"])
        self._absent = kind is Unavailable
        # The session comes back only after `period_s`, which is long enough.
        return error if self._absent else self._failed(error)

    def _failed(self, error: ReadError) -> ReadError:
        """Put the next start off, twice as long for each failure."""
        self._absent = False
        back_off_s = min(MIN_BACK_OFF_S * 2.0 ** min(self._failures, 8), MAX_BACK_OFF_S)
        self._failures += 1
        self._retry_mono = self._monotonic() + back_off_s
        self._last_error = error
        return error

    async def _end(self) -> None:
        """Kill the child and forget it."""
        process, self._process = self._process, None
        tasks = [task for task in (self._line, self._stderr) if task is not None]
        self._line = self._stderr = None
        if process is not None:
            # One that ends by itself is left to asyncio: `kill` would take its exit code away, which is then
            # complained of on stderr (Popen.send_signal looks for the end of the process first).
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _ENDING_S)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # A process that hangs inside the kernel ends only when the driver lets go of it.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _CLOSE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while chunk := await process.stderr.read(65536):
            self._said.extend(line for line in chunk.decode(errors="replace").splitlines()[-5:] if line.strip())


def _ending(code: int | None) -> str:
    if code is None:
        return "closed its end of the pipe"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def reading_of(answer: dict[str, Any], at: float, mono: float) -> GpuReading:
    """The Reading that an answer of the child stands for.

    Raises:
        TypeError: a field is unknown.
        KeyError: a field is missing.
    """
    processes = tuple(
        HostProcess(**{**one, "ancestors": tuple(one["ancestors"]), "ports": tuple(one["ports"])})
        for one in answer["processes"]
    )
    return GpuReading(at, mono, answer["driver"], tuple(_gpu(fields) for fields in answer["gpus"]), processes)


def _gpu(fields: dict[str, Any]) -> Gpu:
    given = dict(fields)
    for name, make in _NESTED.items():
        if name in given:
            given[name] = tuple(make(one) for one in given[name])
    return Gpu(origin="nvml", **given)


_NESTED: dict[str, Callable[[Any], object]] = {
    "processes": lambda one: GpuProcess(**one),
    "mig_devices": lambda one: MigDevice(**one),
    "xids": lambda one: Xid(*one),
    "field_faults": tuple,
    "throttle_reasons": str,
    "unsupported": str,
}
