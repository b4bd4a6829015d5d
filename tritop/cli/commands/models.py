"""`tritop models [TARGET...]`: which models there are, in which state and why."""

from __future__ import annotations

import argparse
from dataclasses import replace

from tritop.cli import arguments, serving
from tritop.cli.commands import Command
from tritop.cli.run import complain
from tritop.cli.waiting import await_snapshot
from tritop.errors import Unreachable
from tritop.model import ModelState, Server, Snapshot, SourceState


class ModelsRead:
    """Tells when the models are known: every configuration read, or no more of them coming."""

    def __init__(self) -> None:
        self._configs_before = -1

    def __call__(self, snapshot: Snapshot) -> bool:
        """Look at the next Snapshot."""
        if any(source.state is SourceState.WAITING for server in snapshot.servers for source in server.sources):
            return False
        ready = [model for server in snapshot.servers for model in server.models if model.state is ModelState.READY]
        configs = sum(model.config is not None for model in ready)
        before, self._configs_before = self._configs_before, configs
        return configs == len(ready) or configs == before


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_targets(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments.add_connection(parser, metrics=False)
    arguments.add_general(parser)


def _run(namespace: argparse.Namespace) -> int:
    configuration = serving.configuration_of(namespace)
    endpoints = serving.find_servers(configuration, arguments.target_texts(namespace)).endpoints
    from tritop.live import LiveSession

    session = LiveSession([replace(endpoint, metrics_url="") for endpoint in endpoints], interval_s=_INTERVAL_S)
    snapshot = await_snapshot(session, ModelsRead(), serving.READ_TIMEOUT_S)
    if snapshot is None:
        raise Unreachable("nothing was read in time.")
    return _print(snapshot, as_table=not namespace.json)


def _print(snapshot: Snapshot, *, as_table: bool) -> int:
    from tritop.cli.output import as_json, exit_code, iso8601, model_document
    from tritop.cli.table import faults_of, models_table

    if as_table:
        print(models_table(snapshot))
    else:
        servers = [_server(server, [model_document(model) for model in server.models]) for server in snapshot.servers]
        print(as_json({"at": iso8601(snapshot.at), "servers": servers}))
    for sentence, advice in faults_of(snapshot):
        complain(sentence, advice)
    return exit_code(snapshot)


def _server(server: Server, models: list[dict[str, object]]) -> dict[str, object]:
    return {
        "name": server.name,
        "endpoint": server.endpoint,
        "version": server.version,
        "control_mode": server.control_mode.value,
        "state": server.state.value,
        "models": models,
    }


_INTERVAL_S = 0.25
"""Configurations are read a part at a time; reading again soon completes them."""

COMMAND = Command(
    name="models",
    summary="List the models of servers: version, state, batching, instances, reason.",
    add_arguments=_add_arguments,
    run=_run,
)
