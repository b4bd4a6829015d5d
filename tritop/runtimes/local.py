"""The embedded Triton as a guarded child process on this machine; `local_runtime` puts it under supervision.

```
tritop -- socket --> guardian -- fork, pipe --> tritonserver -- fork --> Python-backend stubs
```

The guardian (see `guardian.py`) ends the server however tritop ends. Ports, the prefix of the
shared-memory regions and the folder with the backend are this server's own, so any number of
them run side by side.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tritop.endpoint import Endpoint, Tls
from tritop.errors import RuntimeFailure
from tritop.model import Launch
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2, service_pb2_grpc
from tritop.runtimes.embedded import EmbeddedTriton, find_embedded_triton
from tritop.runtimes.guarded import Ending, GuardedProcess
from tritop.runtimes.guardian import remove_folders
from tritop.runtimes.local_order import EXIT_TIMEOUT_S, LocalSpec
from tritop.runtimes.ports import free_ports, is_free, listening_ports
from tritop.runtimes.server_log import ServerLog, explain_exit, failure_reason, port_in_use
from tritop.server_spec import HOST, Ports

_PORT_ATTEMPTS = 5
_POLL_S = 0.05
GRACE_S = EXIT_TIMEOUT_S + 3.0
"""How long a server that is asked to stop may take, before it is killed."""


class LaunchState(StrEnum):
    """How far the start of a server is; `Launch.state`."""

    STARTING = "STARTING"
    """Its process runs, its ports are not open yet."""
    READY = "READY"
    """It has answered."""
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    """Never started, or stopped by us."""
    CRASHED = "CRASHED"
    """It ended by itself after it had been READY."""
    FAILED = "FAILED"
    """It ended before that, or its process could not be started."""


@dataclass(frozen=True, slots=True)
class LocalEnd:
    """What is known about the end of one run."""

    exit_code: int | None
    """Negative for a signal; `None` where nobody saw it."""
    asked: bool = False
    """We stopped it."""
    ran_s: float | None = None
    lines: tuple[str, ...] = ()
    """The telling lines of its log, cleaned."""
    said: str = ""
    """Why it failed, where that is known from elsewhere than from its exit code and its log."""


_RUNNING = frozenset({LaunchState.STARTING, LaunchState.READY, LaunchState.STOPPING})


class LocalServer:
    """One embedded Triton.

    Drive it from one event loop; `launch`, `endpoint`, `pid` and `kill` may be used from any thread.
    After it ended, `start` begins anew.

    Args:
        repository: the model repository.
        name: what the server is called on the screen.
        arguments: further arguments of tritonserver; they win over ours where both give one. The
            addresses and ports are ours; `--allow-http=false` and `--allow-metrics=false` are heeded.
        environment: further variables for the server and its stubs.
        log_path: where its output goes, with a predecessor beside it as `<log_path>.1`; by
            default a file in the private folder, which goes when the server does.
        log_bytes: bound on the size of each of the two.
        remove_at_end: folders that are removed with the server, however tritop ends.
        tls: how to reach its gRPC port where `arguments` turn TLS on.
        headers: request headers to send where `arguments` restrict protocols.
        pick_ports: gives the ports to try; called again when one turns out to be taken.
    """

    def __init__(
        self,
        repository: Path,
        *,
        name: str = "demo",
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        log_path: Path | None = None,
        log_bytes: int = 16 * 1024 * 1024,
        remove_at_end: Sequence[Path] = (),
        tls: Tls | None = None,
        headers: Sequence[tuple[str, str]] = (),
        pick_ports: Callable[[], Ports] = free_ports,
    ) -> None:
        self._name = name
        self._spec = LocalSpec(
            repository.resolve(),
            tuple(arguments),
            dict(environment or {}),
            log_path,
            log_bytes,
            tuple(folder.resolve() for folder in remove_at_end),
        )
        self._tls = tls
        self._headers = tuple(headers)
        self._pick_ports = pick_ports
        self._ports: Ports | None = None
        self._process: GuardedProcess | None = None
        self._watch: asyncio.Task[None] | None = None
        self._state = LaunchState.STOPPED
        self._explanation = ""
        self._exit_code: int | None = None
        self._command = ""
        self._log = ServerLog(Path(os.devnull))
        self._log_path: Path | None = None
        self._starts = 0
        self._began_at = 0.0
        self._end: LocalEnd | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is. Its ports may still change until `wait_live` has returned.

        Raises:
            RuntimeFailure: it was never started.
        """
        if self._ports is None:
            raise RuntimeFailure(f"{self._name} was not started yet.")
        return Endpoint(
            name=self._name,
            host=HOST,
            grpc_port=self._ports.grpc,
            http_port=self._ports.http,
            metrics_url=f"http://{HOST}:{self._ports.metrics}/metrics" if self._spec.offers("metrics") else "",
            tls=self._tls,
            headers=self._headers,
        )

    @property
    def pid(self) -> int | None:
        """Pid of tritonserver, `None` while it does not run."""
        process = self._process
        return process.pid if process is not None and self.running and self._state in _RUNNING else None

    @property
    def running(self) -> bool:
        """Whether a run is under way, one that is ending included."""
        return self._watch is not None and not self._watch.done()

    @property
    def run(self) -> int:
        """How many runs were begun."""
        return self._starts

    @property
    def end(self) -> LocalEnd | None:
        """How the last run ended, `None` before the first end."""
        return self._end

    @property
    def log_path(self) -> Path | None:
        """The log file of the last start."""
        return self._log_path

    def launch(self) -> Launch:
        """The state of the start, for a Snapshot; costs a `stat` while the log does not grow.

        `Launch.state` is one of `LaunchState`.
        """
        return Launch(
            runtime="local",
            state=self._state,
            restarts=max(0, self._starts - 1),
            exit_code=self._exit_code,
            explanation=self._explanation,
            log_path=str(self._log_path or ""),
            log_tail=self._log.tail(),
            command=self._command,
            pid=self.pid,
        )

    async def start(self) -> None:
        """Start the server; returns once its process runs, long before it answers.

        Raises:
            RuntimeFailure: the embedded Triton cannot run here, it runs already, or its process
                could not be started.
        """
        if self.running:
            raise RuntimeFailure(f"{self._name} runs already (pid {self.pid}).")
        triton = find_embedded_triton()
        if not self._spec.repository.is_dir():
            raise RuntimeFailure(
                f"the model repository {self._spec.repository} is not a folder.",
                "Give the folder that holds the models.",
            )
        self._state, self._explanation, self._exit_code = LaunchState.STARTING, "", None
        try:
            await self._spawn(triton)
        except RuntimeFailure as failure:
            self._explanation, self._state = failure.sentence, LaunchState.FAILED
            raise
        self._starts += 1
        self._watch = asyncio.create_task(self._watch_process(triton), name=f"watch {self._name}")

    async def _spawn(self, triton: EmbeddedTriton) -> None:
        """One attempt with ports, a folder and a prefix of its own."""
        ports = self._pick_ports()
        try:
            folder = Path(tempfile.mkdtemp(prefix="tritop-"))
        except OSError as error:
            raise RuntimeFailure(f"cannot make a folder for {self._name}: {error}.") from error
        try:
            order, self._command = self._spec.order(triton, folder, ports)
        except OSError as error:
            remove_folders([str(folder)])
            raise RuntimeFailure(f"cannot prepare {folder} for {self._name}: {error}.") from error
        self._log_path, self._log = order.log_path, ServerLog(order.log_path)
        former, self._process = self._process, await GuardedProcess.spawn(order)
        self._ports, self._began_at = ports, time.monotonic()
        if former is not None:
            # Only now, so that there is a guardian at any moment who would remove what is left.
            former.keep_leftovers()
            await former.close()

    async def _watch_process(self, triton: EmbeddedTriton) -> None:
        """Wait for the end of the server, and begin anew where it met a port that was taken."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            assert self._process is not None
            ending = await self._process.ended()
            if not self._met_a_taken_port() or attempt == _PORT_ATTEMPTS:
                self._settle(ending)
                return
            try:
                await self._spawn(triton)
            except RuntimeFailure as failure:
                self._end = LocalEnd(None, said=failure.sentence)
                self._explanation, self._state = failure.sentence, LaunchState.FAILED
                return
            if not self._is_starting():
                # It was stopped while there was no process that could have been told.
                self._process.ask_to_stop(0.0)
                await self._process.ended()
                self._settle(ending)
                return

    def _met_a_taken_port(self) -> bool:
        """Triton says so also where gRPC fails for another reason, so the port is looked at."""
        address = port_in_use(self._log.tail()) if self._is_starting() else ""
        return bool(address) and not is_free(int(address.rpartition(":")[2]))

    def _is_starting(self) -> bool:
        return self._state is LaunchState.STARTING

    def _settle(self, ending: Ending) -> None:
        """Note how the server ended; the state last, since other threads read what goes with it."""
        state, explanation = self._state, self._explanation
        asked = state in {LaunchState.STOPPING, LaunchState.STOPPED}
        ran_s, said = time.monotonic() - self._began_at, "" if asked else explanation
        self._end = LocalEnd(ending.exit_code, asked, ran_s, self._telling_lines(), said)
        if asked:
            state = LaunchState.STOPPED
            explanation = "It did not end in time and was killed." if ending.killed else "It was stopped."
        elif state is not LaunchState.FAILED:
            state = LaunchState.CRASHED if state is LaunchState.READY else LaunchState.FAILED
            explanation = explain_exit(ending.exit_code, self._telling_lines())
        if ending.dropped_log_bytes:
            explanation += f" {ending.dropped_log_bytes} bytes of its log could not be written."
        self._exit_code, self._explanation = ending.exit_code, explanation
        self._state = state

    def _telling_lines(self) -> tuple[str, ...]:
        """Both ends of the log, without an untrue word about a taken port.

        A refused flag is named at the beginning, before the whole help.
        """
        lines = self._log.head() + self._log.tail(40)
        address = port_in_use(lines)
        if address and is_free(int(address.rpartition(":")[2])):
            lines = tuple(line for line in lines if address not in line)
        return lines

    async def wait_live(self, timeout_s: float = 60.0) -> None:
        """Wait until the server itself listens on its three ports and answers `live`.

        Raises:
            RuntimeFailure: it ended, or `timeout_s` passed.
        """
        limit = time.monotonic() + timeout_s
        while self._is_starting():
            if time.monotonic() > limit:
                sentence = f"{self._name} did not answer within {timeout_s:g} s."
                raise RuntimeFailure(sentence, f"Its log is {self._log_path}.")
            live = await self._answers_live() if self._ports_are_open() else None
            if live is not None and self._is_starting():
                self._note_answer(live)
                break
            await asyncio.sleep(_POLL_S)
        if self._state != LaunchState.READY:
            sentence = f"{self._name} is {self._state.lower()}. {self._explanation}".rstrip()
            raise RuntimeFailure(sentence, f"Its log is {self._log_path}.")

    def _ports_are_open(self) -> bool:
        process, ports = self._process, self._ports
        if process is None or ports is None:
            return False
        wanted = {ports.grpc}
        wanted |= {ports.http} if self._spec.offers("http") else set()
        wanted |= {ports.metrics} if self._spec.offers("metrics") else set()
        return wanted <= listening_ports(process.pid)

    def _note_answer(self, live: bool) -> None:
        if live:
            self._state = LaunchState.READY
            return
        # With --exit-on-error=false a server that failed to initialise stays, and says so.
        self._explanation = f"It could not initialise: {failure_reason(self._telling_lines())}"
        self._state = LaunchState.FAILED
        if self._process is not None:
            self._process.ask_to_stop(EXIT_TIMEOUT_S)

    async def _answers_live(self) -> bool | None:
        """What the server says about itself, `None` while it says nothing."""
        endpoint = self.endpoint
        async with open_channel(endpoint) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            try:
                answer = await stub.ServerLive(
                    service_pb2.ServerLiveRequest(), timeout=2.0, metadata=request_metadata(endpoint)
                )
            except grpc.aio.AioRpcError:
                return None
        return bool(answer.live)

    async def wait_ended(self) -> None:
        """Wait until no run is under way."""
        if self._watch is not None:
            await asyncio.wait({self._watch})

    async def halt(self, grace_s: float = GRACE_S) -> None:
        """Stop the server, whose log and repository stay, so that `start` can follow. Never raises.

        Close your own HTTP connections and gRPC streams to it first: they delay its end by the
        whole exit timeout. What is still there after `grace_s` seconds is killed.
        """
        watch = self._watch
        if watch is None or watch.done():
            return
        self._state = LaunchState.STOPPING
        if self._process is not None:
            self._process.ask_to_stop(grace_s)
        await asyncio.wait({watch}, timeout=grace_s + 10.0)
        self._log.tail()

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Stop the server as `halt` does and remove its traces; returns when they are gone. Never raises."""
        await self.halt(grace_s)
        # Only now, because a retry with other ports may have replaced the process meanwhile.
        process, self._process = self._process, None
        if process is not None:
            await process.close()
        if self._watch is not None:
            await self._watch
        remove_folders([str(folder) for folder in self._spec.remove_at_end])

    def kill(self) -> None:
        """Kill the server and remove its traces, without an event loop, from any thread."""
        process, self._process = self._process, None
        self._log.tail()
        if self._state in _RUNNING:
            self._state = LaunchState.STOPPED
        if process is not None:
            process.kill()
        remove_folders([str(folder) for folder in self._spec.remove_at_end])
