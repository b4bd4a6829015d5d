"""A Snapshot of servers in containers, embedded and remote, in every state that the table of servers must say."""

from __future__ import annotations

from dataclasses import replace

from tests.tui.samples import sample_snapshot
from tritop.model import Container, Fault, Launch, Server, ServerState, Snapshot, Source, SourceState

GIB = 1 << 30
IMAGE = "nvcr.io/nvidia/tritonserver:26.01-py3"
OWNER = "ada@gpu-box"


def sample_container(server: str, number: int, at: float, **changes: object) -> Container:
    """One that runs, and that this operator made with tritop; `changes` replace fields."""
    ports = tuple((inside, f"127.0.0.1:{18000 + 10 * number + inside - 8000}") for inside in (8000, 8001, 8002))
    container = Container(
        id=f"{number:x}".rjust(2, "0") * 32,
        name=f"tritop-{server}",
        image=IMAGE,
        status="running",
        managed=True,
        ours=True,
        owner=OWNER,
        created_at=at - 7200.0,
        started_at=at - 3700.0,
        ports=ports,
        networks=("bridge",),
        gpus="all",
        cpu_cores=1.84,
        memory_used_bytes=int(3.2 * GIB),
        memory_limit_bytes=8 * GIB,
        received_bytes_per_s=1.5e6,
        sent_bytes_per_s=4.2e5,
        processes=37,
    )
    return replace(container, **changes)  # type: ignore[arg-type]  # the test names the fields


def ended(container: Container, at: float, code: int) -> Container:
    """The same container some time after its end."""
    return replace(
        container,
        status="exited",
        started_at=None,
        finished_at=at - 95.0,
        exit_code=code,
        cpu_cores=None,
        memory_used_bytes=None,
        received_bytes_per_s=None,
        sent_bytes_per_s=None,
        processes=None,
    )


def launch_in(state: str, **changes: object) -> Launch:
    """What the supervisor says of a container."""
    command = (
        "docker run --detach --init --name tritop-prod --gpus all nvcr.io/nvidia/tritonserver:26.01-py3 tritonserver"
    )
    launch = Launch(runtime="docker", state=state, command=f"{command} --exit-timeout-secs=45")
    return replace(launch, **changes)  # type: ignore[arg-type]  # the test names the fields


def running(snapshot: Snapshot) -> Server:
    """`prod`: ours, READY, with the models and the traffic of the sample."""
    demo = snapshot.servers[0]
    return replace(
        demo, name="prod", launch=launch_in("READY", pid=4242), container=sample_container("prod", 1, snapshot.at)
    )


def foreign(snapshot: Snapshot) -> Server:
    """`triton-llm`: READY, and made by somebody with `docker run`."""
    container = sample_container(
        "", 2, snapshot.at, name="triton-llm", managed=False, ours=False, owner="", memory_limit_bytes=None, gpus="0,1"
    )
    return replace(snapshot.servers[0], name="triton-llm", launch=None, container=container)


def crashed(snapshot: Snapshot) -> Server:
    """`staging`: ours, has crashed and waits for its next start."""
    container = ended(sample_container("staging", 3, snapshot.at), snapshot.at, 137)
    launch = launch_in(
        "BACKOFF",
        restarts=2,
        exit_code=137,
        restart_in_s=4.2,
        explanation="It ran out of memory: 8.0 GiB is its limit.",
        log_tail=("I1009 08:53:20.0 1 server.cc:1] loading", "Signal (9) received."),
    )
    return Server("staging", "127.0.0.1:18031", ServerState.CRASHED, launch=launch, container=container)


def pulling() -> Server:
    """`next`: its image is pulled."""
    step = "pulling layer 7 of 31, 2.1 GiB of 9.4 GiB, 88.2 MiB/s, 1 min 25 s left"
    return Server("next", "", ServerState.STARTING, launch=launch_in("PULLING", step=step))


def remote(snapshot: Snapshot) -> Server:
    """`far-box`: only its address is known, and nobody answers there."""
    fault = Fault("unreachable", "10.0.0.7:8001 refuses connections.", "Is it running?", since=snapshot.at - 30)
    source = Source("api", SourceState.FAULT, None, fault)
    return Server("far-box", "10.0.0.7:8001", ServerState.UNREACHABLE, sources=(source,))


def servers_snapshot(seq: int = 1, *, gpus: int = 0) -> Snapshot:
    """Six servers: ours, somebody else's, crashed, being pulled, embedded, remote."""
    snapshot = sample_snapshot(seq, gpus=gpus)
    servers = (
        running(snapshot),
        foreign(snapshot),
        crashed(snapshot),
        pulling(),
        snapshot.servers[0],
        remote(snapshot),
    )
    return replace(snapshot, servers=servers, engine=Source("docker", SourceState.OK, 0.4))


def engine_lost(snapshot: Snapshot) -> Snapshot:
    """The same while the engine has not answered for 40 s."""
    fault = Fault("no answer", "The Docker engine does not answer.", "Is dockerd running?", since=snapshot.at - 40)
    return replace(snapshot, engine=Source("docker", SourceState.STALE, 41.0, fault))
