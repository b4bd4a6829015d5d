"""Which models' Python-backend stubs have died.

Triton 2.51 to 2.64 calls itself, the model and every endpoint ready while the stub of a model is
dead, logs nothing, and answers each request with "Stub process ... is not healthy" after a second.
So the processes are counted: each instance of a Python model has one, which bears the path of the
model's file on its command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tritop.endpoint import Endpoint
from tritop.process_stat import in_group
from tritop.protocol import grpc, model_config_pb2, open_channel, request_metadata, service_pb2, service_pb2_grpc

STUB = "triton_python_backend_stub"
_CALL_TIMEOUT_S = 5.0
_HIERARCHY = {"pids": "/sys/fs/cgroup/pids", "": "/sys/fs/cgroup"}
"""Where control groups are mounted: version 1 has a hierarchy for each controller, version 2 one for all."""

Version = tuple[str, str]
"""Model and version."""


def stubs_among(commands: Iterable[Sequence[str]]) -> Counter[Version]:
    """How many stubs each model version has.

    Args:
        commands: the command lines of the server's processes. A stub's is: the program, then
            REPOSITORY/MODEL/VERSION/model.py, then its shared-memory region and more.
    """
    found: Counter[Version] = Counter()
    for command in commands:
        if len(command) > 1 and command[0].rpartition("/")[2] == STUB:
            parts = command[1].split("/")
            if len(parts) >= 3:
                found[parts[-3], parts[-2]] += 1
    return found


def processes_of(pid: int, container_id: str, proc: Path = Path("/proc")) -> list[list[str]] | None:
    """Command lines of all processes in a container.

    Args:
        pid: of its first process, by this host's numbering.
        container_id: stands in the path of the control group, which shows that the pid is this host's.
        proc: where the process file system is mounted.

    Returns:
        `None` where this host does not show them, such as for an engine on another machine.
    """
    try:
        for line in (proc / str(pid) / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in _HIERARCHY and container_id in path:
                members = Path(f"{_HIERARCHY[controllers]}{path}/cgroup.procs").read_text().split()
                return [command for member in members if (command := _command(proc, member))]
    except (OSError, ValueError):
        pass
    return None


def processes_in_group(pid: int, proc: Path = Path("/proc")) -> list[list[str]]:
    """Command lines of all processes in the group that a process leads, as the embedded server leads its stubs'.

    Args:
        pid: of the leader.
        proc: where the process file system is mounted.
    """
    names = (entry.name for entry in proc.iterdir())
    commands = (_command(proc, name) for name in names if name.isdigit() and in_group(name, pid, proc))
    return [command for command in commands if command]


def _command(proc: Path, pid: str) -> list[str]:
    try:
        return (proc / pid / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


class StubWatch:
    """Compares the stubs that there are with the instances that there should be.

    A model that is just being loaded, unloaded or changed has fewer stubs for a moment, so a model
    counts as bereft only after two looks in a row at which the same stubs were missing.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._missing_before: frozenset[str] = frozenset()

    @property
    def suspects(self) -> bool:
        """Whether the last look found a stub missing, so that another one should follow soon."""
        return bool(self._missing_before)

    async def look(self, processes: Callable[[], list[list[str]] | None]) -> tuple[str, ...]:
        """Models whose stubs have died; empty where that cannot be found out.

        Args:
            processes: the command lines of the server's processes.
        """
        try:
            wanted = await self._wanted()
        except grpc.aio.AioRpcError:
            return ()
        commands = processes()
        if commands is None:
            return ()
        there = stubs_among(commands)
        missing = frozenset(model for (model, version), count in wanted.items() if there[model, version] < count)
        dead = missing & self._missing_before
        self._missing_before = missing
        return tuple(sorted(dead))

    async def _wanted(self) -> Counter[Version]:
        """How many stubs each READY version of a Python model should have."""
        metadata = request_metadata(self._endpoint)
        wanted: Counter[Version] = Counter()
        async with open_channel(self._endpoint) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            index = await stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(ready=True), timeout=_CALL_TIMEOUT_S, metadata=metadata
            )
            for model in index.models:
                if model.state != "READY":
                    continue
                request = service_pb2.ModelConfigRequest(name=model.name, version=model.version)
                config = (await stub.ModelConfig(request, timeout=_CALL_TIMEOUT_S, metadata=metadata)).config
                if config.backend == "python":
                    wanted[model.name, model.version] = sum(_instances(group) for group in config.instance_group)
        return wanted


def _instances(group: model_config_pb2.ModelInstanceGroup) -> int:
    on_gpus = group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    return int(group.count) * (max(1, len(group.gpus)) if on_gpus else 1)
