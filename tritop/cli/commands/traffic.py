"""`tritop traffic MODEL`: send requests to one model and say what came of it."""

from __future__ import annotations

import argparse

from tritop.cli import arguments, serving
from tritop.cli.commands import Command
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, UsageError

_DESCRIPTION = """Send requests to one model for a while and print throughput and latency.

--concurrency keeps so many requests in flight; --rate sends so many a second, whatever the server
does, and counts latency from when a request was due. Ctrl-C ends it early with the result so far."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of the model")
    parser.add_argument(
        "--version",
        "--model-version",
        metavar="V",
        dest="model_version",
        default="",
        help="default: the server chooses",
    )
    parser.add_argument(
        "-u", "--url", metavar="TARGET", action="append", default=[], help="the server; none: this host"
    )
    pace = parser.add_mutually_exclusive_group(required=True)
    pace.add_argument("--concurrency", metavar="N", type=int, help="requests kept in flight")
    pace.add_argument("--rate", metavar="R", type=float, help="requests a second")
    parser.add_argument("--poisson", action="store_true", help="with --rate: random gaps instead of equal ones")
    parser.add_argument("--duration", metavar="S", type=float, required=True, help="seconds that are measured")
    parser.add_argument("--warmup", metavar="S", type=float, help="seconds before that; default 1")
    parser.add_argument("--batch", metavar="N", type=int, default=1, help="inferences in each request; default 1")
    parser.add_argument(
        "--shape", metavar="INPUT:DIMS", action="append", default=[], help="such as pixels:3,224,224, without the batch"
    )
    parser.add_argument("--input", metavar="FILE", default="", help="requests, JSON; default: made from the metadata")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--read-only", "--readonly", dest="read_only", action="store_const", const=True, help="send nothing"
    )
    arguments.add_connection(parser, metrics=False)
    parser.add_argument("--config", metavar="FILE", help="config file, TOML")


def _run(namespace: argparse.Namespace) -> int:
    configuration = serving.configuration_of(namespace)
    from tritop.load.command import TrafficOptions, parse_shape, run

    options = TrafficOptions(
        model=namespace.model,
        version=namespace.model_version,
        concurrency=namespace.concurrency,
        rate_per_s=namespace.rate,
        poisson=namespace.poisson,
        duration_s=namespace.duration,
        input_path=namespace.input,
        batch=namespace.batch,
        shapes=tuple(parse_shape(text) for text in namespace.shape),
        as_json=namespace.json,
        **({} if namespace.warmup is None else {"warmup_s": namespace.warmup}),
    )
    return run(_only(serving.find_servers(configuration, namespace.url).endpoints), options)


def _only(endpoints: tuple[Endpoint, ...]) -> Endpoint:
    """The one server that the traffic goes to.

    Raises:
        UsageError: there are several; traffic goes to one at a time, never to a surprise.
        OperationFailed: it is only to be read.
    """
    if len(endpoints) > 1:
        raise UsageError(
            f"traffic goes to one server, and there are {len(endpoints)}: {', '.join(one.name for one in endpoints)}.",
            f"Choose one: -u {endpoints[0].grpc_address}",
        )
    (endpoint,) = endpoints
    if endpoint.read_only:
        raise OperationFailed(
            f"{endpoint.name} is watched read-only: no traffic was sent.",
            "tritop info says where read_only is set: a flag, TRITOP_READONLY, the config file or its target.",
        )
    return endpoint


COMMAND = Command(
    name="traffic",
    summary="Send requests to one model and print throughput and latency.",
    usage="tritop traffic MODEL (--concurrency N | --rate R) --duration S [OPTION...]",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
