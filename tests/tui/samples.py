"""Believable Snapshots for tests, pictures and benchmarks, and a Session that delivers them.

Everything is computed from `seq`, so the same call gives the same Snapshot, and consecutive
`seq` give numbers that move a little, as on a server under steady traffic.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from tests.tui.sample_conditions import Condition, in_condition
from tests.tui.sample_models import sample_models
from tritop.logs import LogLine
from tritop.model import (
    ControlMode,
    CustomSample,
    Event,
    EventKind,
    Gpu,
    GpuProcess,
    Launch,
    ModelVersion,
    Server,
    ServerState,
    Snapshot,
    Source,
    SourceState,
    Traffic,
    TrafficState,
)
from tritop.operation import Operation, OperationState, OperationStatus, SetTraffic

SAMPLE_AT = 1_760_000_000.0
"""2025-10-09 08:53:20 UTC, the wall time of seq 0."""

HOSTILE_NAMES = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;owned\x07title",
    "[bold red]markup[/]",
    "line\nfeed\r\ttab",
    "日本語の模型名",
    "rtl\u202eevil\u2066",
    "zero\u200bwidth\ufeff",
    "nul\x00bell\x07del\x7f\x9b31m",
    "",
)
"""Names that a server may send and that must not reach the terminal as they are."""
LONG_NAME = "recommendation_candidate_generator_two_tower_multilingual_v12"
"""61 characters."""


def sample_snapshot(
    seq: int = 1,
    *,
    models: int = 5,
    at: float | None = None,
    failing: bool = True,
    traffic: bool = True,
    batching: bool = True,
    gpus: int = 0,
    servers: int = 1,
    names: Sequence[str] = (),
    condition: Condition = "live",
    interval_s: float = 1.0,
) -> Snapshot:
    """Make one Snapshot.

    Args:
        seq: number of the Snapshot; time and the numbers move with it.
        models: rows of each server, a model with two versions counts twice.
        at: wall time; by default `SAMPLE_AT + seq * interval_s`.
        failing: whether a model is in FAILED and another rejects requests.
        traffic: whether requests flow, ours among them.
        batching: whether the first model batches dynamically, with the throughput that goes with it.
        gpus: GPUs of the host.
        servers: how many servers; only the first is in `condition`, the others are live.
        names: names for the first models instead of the usual ones.
        condition: what the first server is like.
        interval_s: seconds between two Snapshots.
    """
    now = SAMPLE_AT + seq * interval_s if at is None else at
    rows = sample_models(seq, now, count=models, failing=failing, traffic=traffic, batching=batching, names=names)
    made = [in_condition(_server("demo", rows, now), condition, now, seq)]
    made += [_server(f"gpu-box-{n}", rows, now, port=8001 + 10 * n) for n in range(1, servers)]
    flowing = traffic and condition == "live" and bool(rows)
    return Snapshot(
        seq=seq,
        at=now,
        mono=1000.0 + seq * interval_s,
        interval_s=interval_s,
        servers=tuple(made),
        gpus=tuple(_gpu(index, seq, made[0].name) for index in range(gpus)),
        gpu_source=Source("nvml", SourceState.OK, 0.3) if gpus else None,
        gpu_driver="570.86.15" if gpus else "",
        traffic=(_traffic(rows[0], seq),) if flowing else (),
        operations=_operations(rows[0]) if flowing else (),
        events=_events(rows, failing) if condition != "first" else (),
    )


def sample_series(count: int, first: int = 1, **arguments: object) -> list[Snapshot]:
    """Make `count` consecutive Snapshots; `arguments` go to `sample_snapshot`."""
    make: Callable[..., Snapshot] = sample_snapshot
    return [make(seq, **arguments) for seq in range(first, first + count)]


class FakeSession:
    """A Session that delivers given Snapshots, on demand or from its own thread.

    Args:
        snapshots: what to deliver, in order; may be endless.
        interval_s: seconds between deliveries from a thread; `None` delivers only when
            `deliver_next` is called, on the caller's thread.
    """

    def __init__(self, snapshots: Iterable[Snapshot] = (), interval_s: float | None = None) -> None:
        self.submitted: list[Operation] = []
        """Every operation that was asked for, in order."""
        self.followers: dict[str, list[Callable[[Sequence[LogLine]], None]]] = {}
        """Who follows the log of which server right now."""
        self.log: Sequence[LogLine] = ()
        """What every log holds already when somebody begins to follow it."""
        self.started = 0
        self.stopped = 0
        self._snapshots = iter(snapshots)
        self._interval_s = interval_s
        self._deliver: Callable[[Snapshot], None] | None = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, deliver: Callable[[Snapshot], None]) -> None:
        """Begin; see `tritop.session.Session`."""
        self.started += 1
        self._deliver = deliver
        if self._interval_s is not None:
            self._thread = threading.Thread(
                target=self._run, args=(self._interval_s,), name="fake-session", daemon=True
            )
            self._thread.start()

    def deliver_next(self, count: int = 1) -> int:
        """Deliver the next `count` Snapshots now; returns how many there were."""
        assert self._deliver is not None, "the session has not been started"
        delivered = 0
        for snapshot in islice(self._snapshots, count):
            self._deliver(snapshot)
            delivered += 1
        return delivered

    def submit(self, operation: Operation) -> None:
        """Record the operation."""
        self.submitted.append(operation)

    def follow_log(self, server: str, deliver: Callable[[Sequence[LogLine]], None]) -> Callable[[], None]:
        """Give it what the log holds, and keep it for `deliver_log`."""
        self.followers.setdefault(server, []).append(deliver)
        if self.log:
            deliver(self.log)
        return lambda: self.followers[server].remove(deliver)

    def deliver_log(self, server: str, lines: Sequence[LogLine]) -> None:
        """Give lines to everybody who follows the log of a server, on the caller's thread."""
        for deliver in tuple(self.followers.get(server, ())):
            deliver(lines)

    def stop(self) -> None:
        """End the thread; counts how often it was asked to."""
        self.stopped += 1
        self._ending.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, interval_s: float) -> None:
        while not self._ending.is_set() and self.deliver_next():
            self._ending.wait(interval_s)


def _server(name: str, rows: tuple[ModelVersion, ...], now: float, port: int = 8001) -> Server:
    return Server(
        name=name,
        endpoint=f"127.0.0.1:{port}",
        state=ServerState.READY,
        version="2.51.0",
        control_mode=ControlMode.EXPLICIT,
        extensions=("classification", "sequence", "model_repository", "statistics", "trace", "logging"),
        live=True,
        ready=True,
        models=rows,
        sources=(Source("api", SourceState.OK, 0.3), Source("metrics", SourceState.OK, 0.1)),
        cpu_ratio=0.62,
        memory_used_bytes=6 * 2**30,
        memory_total_bytes=16 * 2**30,
        pinned_used_bytes=0,
        pinned_total_bytes=256 * 2**20,
        custom=(
            CustomSample(
                "vllm:prompt_tokens_total", (("model_name", "llama"), ("version", "1")), 123456.0, 812.5, "counter"
            ),
            CustomSample("vllm:gpu_cache_usage_perc", (("model_name", "llama"),), 0.42, None, "gauge"),
        ),
        launch=Launch(
            runtime="local",
            state="READY",
            step="",
            done=len(rows),
            total=len(rows),
            log_path="demo/server.log",
            log_tail=("I1009 08:53:20.000000 1 grpc_server.cc:2558] Started GRPCInferenceService at 127.0.0.1:8001",),
            command="tritonserver --model-repository=demo/models --model-control-mode=explicit",
            pid=4242,
        ),
        metrics_endpoint=f"http://127.0.0.1:{port + 1}/metrics",
    )


def _traffic(row: ModelVersion, seq: int) -> Traffic:
    rate = row.requests_per_s or 0.0
    return Traffic(
        server="demo",
        model=row.name,
        version=row.version,
        state=TrafficState.RUNNING,
        concurrency=32,
        window_s=10.0,
        requests_per_s=rate,
        errors_per_s=0.0,
        p50_us=11800.0 + seq % 3,
        p90_us=15200.0,
        p99_us=19100.0,
        max_us=31000.0,
        in_flight=32,
        client_cpu_ratio=0.34,
    )


def _operations(row: ModelVersion) -> tuple[OperationStatus, ...]:
    operation = SetTraffic("demo", row.name, concurrency=32)
    return (
        OperationStatus(1, operation, OperationState.DONE, SAMPLE_AT - 9.0, SAMPLE_AT - 8.9, "32 requests in flight"),
    )


def _events(rows: tuple[ModelVersion, ...], failing: bool) -> tuple[Event, ...]:
    if not rows:
        return ()
    first = rows[0]
    events = [Event(SAMPLE_AT - 60.0, EventKind.MODEL_LOADED, "demo", first.name, first.version)]
    if failing:
        failed = next((row for row in rows if row.reason), first)
        events.append(
            Event(SAMPLE_AT - 58.0, EventKind.MODEL_FAILED, "demo", failed.name, failed.version, text=failed.reason)
        )
    events.append(
        Event(SAMPLE_AT - 9.0, EventKind.OPERATION, "demo", first.name, who="ada@gpu-box", text="32 requests in flight")
    )
    return tuple(events)


def _gpu(index: int, seq: int, server: str) -> Gpu:
    busy = 0.87 + 0.05 * math.sin(seq / 5 + index)
    return Gpu(
        uuid=f"GPU-00000000-0000-0000-0000-{index:012d}",
        name="NVIDIA H200",
        origin="nvml",
        index=index,
        bus_id=f"00000000:{0x19 + index:02X}:00.0",
        utilization_ratio=round(busy, 2),
        memory_utilization_ratio=0.41,
        used_bytes=int(23.1 * 2**30),
        reserved_bytes=600 * 2**20,
        total_bytes=int(139.8 * 2**30),
        power_w=512.0 + seq % 7,
        power_limit_w=700.0,
        temperature_c=61.0,
        slowdown_c=92.0,
        memory_temperature_c=68.0,
        energy_j=4.2e8,
        sm_clock_mhz=1980,
        max_sm_clock_mhz=1980,
        memory_clock_mhz=3201,
        max_memory_clock_mhz=3201,
        performance_state=0,
        persistence=True,
        ecc_corrected=2,
        ecc_uncorrected=0,
        remapped_rows=0,
        pcie_generation=5,
        pcie_width=16,
        pcie_sent_bytes_per_s=3.1e8,
        pcie_received_bytes_per_s=1.2e9,
        throttle_reasons=("power cap",) if index else (),
        processes=(
            GpuProcess(4242, 22 * 2**30, "tritonserver", server),
            GpuProcess(777, 2**30, "python3", None, "notebook"),
        ),
        servers=(server,),
    )
