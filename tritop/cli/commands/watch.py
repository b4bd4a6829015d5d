"""`tritop [TARGET...]`: the screen, a table or JSON of servers that run already."""

from __future__ import annotations

import argparse

from tritop.cli import arguments, serving
from tritop.cli.commands import Command
from tritop.endpoint import Endpoint
from tritop.errors import Unreachable

FIRST_INTERVAL_S = 0.25
"""The screen's second reading comes this soon after its first, so that rates show at once."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_targets(parser)
    arguments.add_connection(parser)
    arguments.add_interval(parser)
    arguments.add_output(parser, stream=True)
    arguments.add_screen(parser)
    arguments.add_general(parser)


def _run(namespace: argparse.Namespace) -> int:
    configuration = serving.configuration_of(namespace)
    screen = serving.wants_screen(namespace)
    texts = arguments.target_texts(namespace)
    from tritop.cli.discovering import adopted_here, without

    adopted = adopted_here() if screen and not texts else ()
    endpoints: tuple[Endpoint, ...] = ()
    try:
        endpoints = without(serving.find_servers(configuration, texts).endpoints, adopted)
    except Unreachable:
        # What is wanted to run may be down at this moment: it is shown, and started again.
        if not adopted:
            raise
    from tritop.live import LiveSession
    from tritop.live.gpus import nvml_collector

    interval_s = configuration.interval_s
    session = LiveSession(
        endpoints,
        hosted=adopted,
        interval_s=interval_s,
        first_interval_s=min(FIRST_INTERVAL_S, interval_s) if screen else None,
        attended=screen,
        make_gpu_collector=nvml_collector,
    )
    names = [*(endpoint.name for endpoint in endpoints), *(server.name for server in adopted)]
    title = names[0] if len(names) == 1 else ""
    return serving.show(session, namespace, configuration, title=title, early=True)


COMMAND = Command(
    name="watch",
    summary="Watch servers that run already; what tritop does without a verb.",
    description="Watch, steer and run Triton Inference Server from a terminal.",
    usage="tritop [OPTION...] [TARGET...]\n       tritop VERB [OPTION...] ...",
    add_arguments=_add_arguments,
    run=_run,
)
