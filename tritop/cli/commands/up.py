"""`tritop up`: start a Triton container, keep it alive and show it; or start it and leave it."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from tritop.cli import arguments, serving
from tritop.cli.commands import Command
from tritop.cli.commands.watch import FIRST_INTERVAL_S
from tritop.cli.run import complain
from tritop.config import Configuration

if TYPE_CHECKING:
    from tritop.runtimes.docker_server import DockerServer

_DESCRIPTION = """Run Triton in a container that outlives tritop, and show it.

REPOSITORY is the folder with the models, or the name of a profile: [servers.NAME] in the config
file. What stands after -- goes to tritonserver. A server that dies is started again for as long as
this screen is open; with --detach it is started and left to itself."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repository", metavar="REPOSITORY", nargs="?", help="folder of models, or name of a profile")
    group = parser.add_argument_group("container")
    group.add_argument("--image", metavar="IMAGE", help="any with tritonserver in it; default: NVIDIA's")
    group.add_argument("--name", metavar="NAME", help="of the server; default: the profile's or the folder's name")
    group.add_argument(
        "--gpus", metavar="GPUS", help="all, none, 0,1 or GPU-uuid,...; default: all, where there are any"
    )
    group.add_argument(
        "--port", metavar="BASE", type=int, help="HTTP, gRPC, metrics from this port on; default: free ones"
    )
    group.add_argument("--shm-size", metavar="SIZE", help="shared memory for Python models; default 1g")
    group.add_argument("--memory", metavar="SIZE", help="limit on its memory, such as 16g; default: none")
    group.add_argument(
        "--env", metavar="NAME", action="append", help="hand on a variable with the value that it has here"
    )
    how = parser.add_argument_group("how to run it")
    how.add_argument("-D", "--detach", action="store_true", help="no screen: wait until it is ready, and leave it")
    how.add_argument("--no-wait", action="store_true", help="no screen, and do not wait until it is ready")
    how.add_argument("--stop-at-exit", action="store_true", help="stop it when the screen is left")
    how.add_argument("--replace", action="store_true", help="make it anew where it runs with other settings")
    how.add_argument("--dry-run", action="store_true", help="print the docker run line that does the same; do nothing")
    how.add_argument("--json", action="store_true", help="no screen: print one JSON object when it is ready")
    arguments.add_interval(parser)
    arguments.add_screen(parser)
    arguments.add_general(parser)


def _run(namespace: argparse.Namespace) -> int:
    import asyncio
    import time

    namespace.once = namespace.ndjson = False
    configuration = serving.configuration_of(namespace)
    from tritop.cli.launching import dry_run_line, prepare, up_detached
    from tritop.cli.recorded import recorded
    from tritop.container_documents import seconds_of
    from tritop.runtimes.docker import Engine

    if namespace.dry_run:
        print(dry_run_line(namespace, configuration))
        return 0
    detach = namespace.detach or namespace.no_wait or namespace.json
    if not detach:
        serving.wants_screen(namespace)
    engine = Engine()
    server = asyncio.run(prepare(namespace, configuration, engine, os.environ))
    if detach:
        began = time.time()
        with recorded(server.name, None) as recording:
            code = asyncio.run(up_detached(server, wait=not namespace.no_wait, as_json=namespace.json))
            recording.endpoint = server.endpoint.grpc_address
            recording.changed = (seconds_of(server.state.run) or 0.0) >= began
        return code
    return _show(server, namespace, configuration)


def _show(server: DockerServer, namespace: argparse.Namespace, configuration: Configuration) -> int:
    from tritop.live import LiveSession
    from tritop.live.gpus import nvml_collector

    session = LiveSession(
        hosted=[server],
        interval_s=configuration.interval_s,
        first_interval_s=min(FIRST_INTERVAL_S, configuration.interval_s),
        attended=True,
        make_gpu_collector=nvml_collector,
        engine=server.engine_address,
    )
    code = serving.show(session, namespace, configuration, title=server.name)
    if server.state.running and not namespace.stop_at_exit:
        complain(f"{server.name} runs on.", f"Stop it: tritop down {server.name}")
    return code


COMMAND = Command(
    name="up",
    summary="Start a Triton container, keep it alive and show it.",
    description=_DESCRIPTION,
    usage="tritop up [REPOSITORY] [OPTION...] [-- TRITONSERVER-ARGUMENT...]",
    rest="arguments",
    add_arguments=_add_arguments,
    run=_run,
)
