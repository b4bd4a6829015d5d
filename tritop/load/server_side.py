"""What the server says about the same seconds: differences of ModelStatistics."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from collectors.grpc_faults import read_error
from tritop.endpoint import Endpoint
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2, service_pb2_grpc

_TIMEOUT_S = 2.0
_DURATIONS = ("success", "queue", "compute_input", "compute_infer", "compute_output")

Counters = dict[str, int]
"""`inference_count`, `execution_count`, and `<duration>.count` and `<duration>.ns` of `_DURATIONS`."""


@dataclass(frozen=True, slots=True)
class ServerMeans:
    """Means over all requests that the model answered meanwhile, those of other clients included."""

    inferences: int
    executions: int
    batch_avg: float | None
    request_us: float | None
    queue_us: float | None
    compute_input_us: float | None
    compute_infer_us: float | None
    compute_output_us: float | None


class CounterDeltas:
    """Sums up how far the counters of a model's versions went, over any number of readings.

    ModelStatistics restarts at 0 with every full reload: a version whose counters went back has
    moved by what they are now, at least.
    """

    def __init__(self) -> None:
        self._before: dict[str, Counters] | None = None
        self._moved: Counters = {}

    def add(self, now: dict[str, Counters]) -> None:
        """Take one reading, version -> counters; the first one is the base line."""
        if self._before is not None:
            for version, counters in now.items():
                before = self._before.get(version, {})
                if any(value < before.get(name, 0) for name, value in counters.items()):
                    before = {}
                for name, value in counters.items():
                    self._moved[name] = self._moved.get(name, 0) + value - before.get(name, 0)
        # A version that is missing for once, while its model is reloaded, keeps its base line.
        self._before = {**(self._before or {}), **now}

    def means(self) -> ServerMeans:
        """Over everything that was added."""
        executions = self._moved.get("execution_count", 0)
        inferences = self._moved.get("inference_count", 0)
        return ServerMeans(
            inferences=inferences,
            executions=executions,
            batch_avg=inferences / executions if executions else None,
            request_us=self._mean_us("success"),
            queue_us=self._mean_us("queue"),
            compute_input_us=self._mean_us("compute_input"),
            compute_infer_us=self._mean_us("compute_infer"),
            compute_output_us=self._mean_us("compute_output"),
        )

    def _mean_us(self, duration: str) -> float | None:
        count = self._moved.get(f"{duration}.count", 0)
        return self._moved[f"{duration}.ns"] / count / 1000 if count else None


class ServerSide:
    """Reads ModelStatistics of one model now and then; an async context manager.

    Args:
        endpoint: of the server.
        model: which model.
        version: "" takes all versions together.
    """

    def __init__(self, endpoint: Endpoint, model: str, version: str) -> None:
        self._endpoint = endpoint
        self._request = service_pb2.ModelStatisticsRequest(name=model, version=version)
        self._metadata = request_metadata(endpoint)
        self._channel = open_channel(endpoint)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._deltas = CounterDeltas()
        self._readings = 0
        self.fault = ""
        """Why the newest reading failed, "" if it did not."""

    async def __aenter__(self) -> ServerSide:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def read(self) -> None:
        """Read once; a failure goes to `fault`, for traffic goes on without it."""
        try:
            answer = await self._stub.ModelStatistics(self._request, timeout=_TIMEOUT_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            self.fault = str(read_error(error, self._endpoint.grpc_address, _TIMEOUT_S))
            return
        self.fault = ""
        self._readings += 1
        self._deltas.add({entry.version: _counters(entry) for entry in answer.model_stats})

    def means(self) -> ServerMeans | None:
        """Between the first and the newest reading; `None` where there are not two."""
        return self._deltas.means() if self._readings > 1 else None


def _counters(statistics: service_pb2.ModelStatistics) -> Counters:
    counters = {"inference_count": statistics.inference_count, "execution_count": statistics.execution_count}
    for name in _DURATIONS:
        duration = getattr(statistics.inference_stats, name)
        counters |= {f"{name}.count": duration.count, f"{name}.ns": duration.ns}
    return counters
