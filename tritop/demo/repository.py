"""The demo's model repository: what is in it, writing it, and loading it model by model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2, service_pb2_grpc

_VERSIONS = {"matrix": ("1", "2"), "tiny": ("1",), "pair": ("1",), "pipeline": ("1",), "broken": ("1",)}
"""Models in load order (an ensemble after its steps), with their versions."""


@dataclass(frozen=True, slots=True)
class DemoRepository:
    """A written repository and the part that each model plays in the demo."""

    folder: Path
    models: tuple[str, ...] = tuple(_VERSIONS)
    """In load order."""
    expected_to_fail: frozenset[str] = frozenset({"broken"})
    traffic_model: str = "matrix"
    """The model that traffic goes to."""
    concurrency: int = 32
    """Requests kept in flight at the start."""

    @property
    def loadable(self) -> tuple[str, ...]:
        """The models that load, in load order."""
        return tuple(model for model in self.models if model not in self.expected_to_fail)


def write_repository(folder: Path) -> DemoRepository:
    """Write the demo's models below `folder`, which is made where it does not exist; a few KiB.

    Raises:
        OSError: the folder cannot be written.
    """
    sources = resources.files("tritop.demo.models")
    for model, versions in _VERSIONS.items():
        for version in versions:
            version_folder = folder / model / version
            version_folder.mkdir(parents=True, exist_ok=True)
            code = sources / f"{model}.py"
            if code.is_file():
                (version_folder / "model.py").write_text(code.read_text())
        (folder / model / "config.pbtxt").write_text((sources / f"{model}.pbtxt").read_text())
    return DemoRepository(folder)


async def load_models(
    endpoint: Endpoint,
    repository: DemoRepository,
    progress: Callable[[int, int, str], None],
) -> dict[str, str]:
    """Load the models one after another over gRPC.

    Args:
        endpoint: a live server in explicit control mode.
        repository: what to load.
        progress: called with (models done, models in all, model being loaded) before each model,
            and with (all, all, "") at the end.

    Returns:
        For each model that did not load, the server's words: untrusted, may hold many lines.

    Raises:
        OperationFailed: the server does not answer any more.
    """
    failures: dict[str, str] = {}
    total = len(repository.models)
    async with open_channel(endpoint) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for done, model in enumerate(repository.models):
            progress(done, total, model)
            request = service_pb2.RepositoryModelLoadRequest(model_name=model)
            try:
                await stub.RepositoryModelLoad(request, metadata=request_metadata(endpoint))
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    raise OperationFailed(
                        f"{endpoint.name} does not answer while {model} is loaded: {error.details()}.",
                        "Look into the server's log.",
                    ) from error
                failures[model] = error.details() or error.code().name
    progress(total, total, "")
    return failures
