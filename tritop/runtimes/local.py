"""The embedded Triton as a supervised child process on this machine.

```
tritop -- socket --> guardian -- fork, pipe --> tritonserver -- fork --> Python-backend stubs
```

The guardian (see `guardian.py`) ends the server however tritop ends. Ports, the prefix of the
shared-memory regions and the folder with the backend are this server's own, so any number of
them run side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shlex
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure
from tritop.model import Launch
from tritop.protocol import open_channel, service_pb2, service_pb2_grpc
from tritop.runtimes.embedded import EmbeddedTriton, find_embedded_triton
from tritop.runtimes.guarded import Ending, GuardedProcess, Order
from tritop.runtimes.server_log import ServerLog, explain_exit, port_in_use

HOST = "127.0.0.1"
_LOG_BYTES = 16 * 1024 * 1024
_SHM_BYTES = 1024 * 1024
"""Shared memory of one Python-backend instance at its start; it grows by as much."""
_PORT_ATTEMPTS = 5
_POLL_S = 0.05
_EXIT_TIMEOUT_S = 5
_TCP_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Ports:
    """The three ports of one server on 127.0.0.1."""

    http: int
    grpc: int
    metrics: int


def free_ports() -> Ports:
    """Three ports that are free at this moment, below the range for outgoing connections.

    A port out of that range could be given to any outgoing connection before the server opens
    it; one of our own attempts to connect could even be joined to itself.
    """
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = 32768
    candidates = range(20000, lowest) if lowest > 21000 else range(20000, 65536)
    found: list[int] = []
    for port in random.sample(candidates, len(candidates)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            found.append(port)
        if len(found) == 3:
            return Ports(*found)
    raise RuntimeFailure(f"no three free ports are left on {HOST}.", "Stop servers that are not needed.")


def listening_ports(pid: int) -> frozenset[int]:
    """The TCP ports on which the process itself listens; empty where it cannot be read.

    An open port alone proves nothing: it may be somebody else's, and Triton finds that out last.
    gRPC listens on an IPv6 socket with a mapped IPv4 address, the others on an IPv4 one.
    """
    try:
        owned = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        rows = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        with contextlib.suppress(FileNotFoundError):
            rows += Path(f"/proc/{pid}/net/tcp6").read_text().splitlines()[1:]
    except OSError:
        return frozenset()
    columns = (row.split() for row in rows)
    return frozenset(
        int(column[1].rpartition(":")[2], 16)
        for column in columns
        if column[3] == _TCP_LISTEN and f"socket:[{column[9]}]" in owned
    )


class LocalServer:
    """One embedded Triton.

    Drive it from one event loop; `launch`, `endpoint`, `pid` and `kill` may be used from any thread.
    After it ended, `start` begins anew.

    Args:
        repository: the model repository.
        name: what the server is called on the screen.
        arguments: further arguments of tritonserver; they win over ours where both give one.
        environment: further variables for the server and its stubs.
        log_path: where its output goes, with a predecessor beside it as `<log_path>.1`; by
            default a file in the private folder, which goes when the server does.
        log_bytes: bound on the size of each of the two.
        remove_at_end: folders that are removed with the server, however tritop ends.
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
        log_bytes: int = _LOG_BYTES,
        remove_at_end: Sequence[Path] = (),
        pick_ports: Callable[[], Ports] = free_ports,
    ) -> None:
        self._repository = repository.resolve()
        self._name = name
        self._arguments = tuple(arguments)
        self._environment = dict(environment or {})
        self._wanted_log_path = log_path
        self._log_bytes = log_bytes
        self._remove_at_end = tuple(folder.resolve() for folder in remove_at_end)
        self._pick_ports = pick_ports
        self._ports: Ports | None = None
        self._process: GuardedProcess | None = None
        self._watch: asyncio.Task[None] | None = None
        self._state = "STOPPED"
        self._explanation = ""
        self._exit_code: int | None = None
        self._command: tuple[str, ...] = ()
        self._added_environment: dict[str, str] = {}
        self._log = ServerLog(Path(os.devnull))
        self._log_path: Path | None = None
        self._starts = 0

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
            metrics_url=f"http://{HOST}:{self._ports.metrics}/metrics",
        )

    @property
    def pid(self) -> int | None:
        """Pid of tritonserver, `None` while it does not run."""
        return self._process.pid if self._process is not None else None

    @property
    def log_path(self) -> Path | None:
        """The log file of the last start."""
        return self._log_path

    def launch(self) -> Launch:
        """The state of the start, for a Snapshot; costs a `stat` while the log does not grow.

        States: STARTING (it runs, its ports are not open yet), READY (it answers), STOPPING,
        STOPPED, CRASHED (it ended by itself after it had been READY), FAILED (it ended before).
        """
        return Launch(
            runtime="local",
            state=self._state,
            restarts=max(0, self._starts - 1),
            exit_code=self._exit_code,
            explanation=self._explanation,
            log_path=str(self._log_path or ""),
            log_tail=self._log.tail(),
            command=self._command_line(),
            pid=self.pid,
        )

    def _command_line(self) -> str:
        if not self._command:
            return ""
        variables = (f"{name}={value}" for name, value in self._added_environment.items())
        return shlex.join(("env", *variables, *self._command))

    async def start(self) -> None:
        """Start the server; returns once its process runs, long before it answers.

        Raises:
            RuntimeFailure: the embedded Triton cannot run here, it runs already, or its process
                could not be started.
        """
        if self._watch is not None and not self._watch.done():
            raise RuntimeFailure(f"{self._name} runs already (pid {self.pid}).")
        triton = find_embedded_triton()
        if not self._repository.is_dir():
            raise RuntimeFailure(
                f"the model repository {self._repository} is not a folder.", "Give the folder that holds the models."
            )
        self._state, self._explanation, self._exit_code = "STARTING", "", None
        self._starts += 1
        try:
            await self._spawn(triton)
        except RuntimeFailure as failure:
            self._state, self._explanation = "FAILED", failure.sentence
            raise
        self._watch = asyncio.create_task(self._watch_process(triton), name=f"watch {self._name}")

    async def _spawn(self, triton: EmbeddedTriton) -> None:
        """One attempt with ports of its own."""
        self._ports = self._pick_ports()
        folder = Path(tempfile.mkdtemp(prefix="tritop-"))
        shm_prefix = f"tritop-{uuid.uuid4().hex[:12]}-"
        backends = triton.arrange_backends(folder)
        self._log_path = self._wanted_log_path or folder / "tritonserver.log"
        self._log = ServerLog(self._log_path)
        self._command = (
            str(triton.binary),
            f"--model-repository={self._repository}",
            "--model-control-mode=explicit",
            f"--backend-directory={backends}",
            f"--http-address={HOST}",
            f"--http-port={self._ports.http}",
            f"--grpc-address={HOST}",
            f"--grpc-port={self._ports.grpc}",
            f"--metrics-address={HOST}",
            f"--metrics-port={self._ports.metrics}",
            "--metrics-interval-ms=1000",
            "--exit-on-error=false",
            f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
            f"--backend-config=python,shm-default-byte-size={_SHM_BYTES}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
            *self._arguments,
        )
        self._added_environment = self._variables(triton.environment(triton.arrange_interpreter(folder)))
        order = Order(
            command=self._command,
            environment=_inherited_environment() | self._added_environment,
            log_path=self._log_path,
            log_bytes=self._log_bytes,
            shm_prefix=shm_prefix,
            folders=(folder, *self._remove_at_end),
        )
        self._process = await GuardedProcess.spawn(order)

    def _variables(self, needed: dict[str, str]) -> dict[str, str]:
        """What is added to the environment.

        One thread for each instance's linear algebra: instances and the traffic share the cores,
        and `instance_group` is the knob for parallelism.
        """
        threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        return needed | {name: os.environ.get(name, "1") for name in threads} | self._environment

    async def _watch_process(self, triton: EmbeddedTriton) -> None:
        """Wait for the end of the server, and begin anew where it met a port that was taken."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            assert self._process is not None
            ending = await self._process.ended()
            taken = self._state == "STARTING" and port_in_use(self._log.tail())
            if not taken or attempt == _PORT_ATTEMPTS:
                self._settle(ending)
                return
            await self._process.close()
            try:
                await self._spawn(triton)
            except RuntimeFailure as failure:
                self._process = None
                self._state, self._explanation = "FAILED", failure.sentence
                return

    def _settle(self, ending: Ending) -> None:
        """Note how the server ended."""
        self._exit_code = ending.exit_code
        lines = self._log.tail(40)
        if self._state == "STOPPING":
            self._state = "STOPPED"
            self._explanation = "It did not end in time and was killed." if ending.killed else "It was stopped."
        else:
            self._state = "CRASHED" if self._state == "READY" else "FAILED"
            self._explanation = explain_exit(ending.exit_code, lines)

    async def wait_live(self, timeout_s: float = 60.0) -> None:
        """Wait until the server itself listens on its three ports and answers `live`.

        Raises:
            RuntimeFailure: it ended, or `timeout_s` passed.
        """
        limit = time.monotonic() + timeout_s
        while self._state == "STARTING":
            if time.monotonic() > limit:
                raise RuntimeFailure(
                    f"{self._name} did not answer within {timeout_s:g} s.", f"Its log is {self._log_path}."
                )
            if self._ports_are_open() and await self._answers_live():
                if self._state == "STARTING":
                    self._state = "READY"
                return
            await asyncio.sleep(_POLL_S)
        if self._state != "READY":
            raise RuntimeFailure(
                f"{self._name} is {self._state.lower()}. {self._explanation}".rstrip(), f"Its log is {self._log_path}."
            )

    def _ports_are_open(self) -> bool:
        process, ports = self._process, self._ports
        if process is None or ports is None:
            return False
        return {ports.http, ports.grpc, ports.metrics} <= listening_ports(process.pid)

    async def _answers_live(self) -> bool:
        async with open_channel(self.endpoint) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            try:
                answer = await stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=2.0)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.live)

    async def stop(self, grace_s: float = _EXIT_TIMEOUT_S + 3.0) -> None:
        """Stop the server and remove its traces; returns when they are gone.

        Close your own HTTP connections and gRPC streams to it first: they delay its end by the
        whole exit timeout. What is still there after `grace_s` seconds is killed.
        """
        process, watch = self._process, self._watch
        if process is None:
            return
        if watch is not None and not watch.done():
            self._state = "STOPPING"
            process.ask_to_stop(grace_s)
            await asyncio.wait({watch}, timeout=grace_s + 10.0)
        self._log.tail()
        # A retry with other ports may have replaced the process meanwhile.
        await (self._process or process).close()
        if watch is not None:
            await watch
        self._process = None

    def kill(self) -> None:
        """Kill the server and remove its traces, without an event loop, from any thread."""
        process, self._process = self._process, None
        if process is None:
            return
        self._log.tail()
        if self._state in {"STARTING", "READY", "STOPPING"}:
            self._state = "STOPPED"
            self._explanation = "It was killed."
        process.kill()


def _inherited_environment() -> dict[str, str]:
    """Our environment without what would steer the interpreter inside the stubs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
