"""`tritop batching show | set | undo | save MODEL`: dynamic batching of a model on a running server."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tritop.change import ConfigEdit, QueuePolicyEdit
from tritop.cli import changing
from tritop.cli.commands import Command
from tritop.cli.text import printable
from tritop.cli.units import parse_numbers, parse_seconds, parse_switch, parse_us
from tritop.errors import UsageError
from tritop.operation import EditConfig, SaveConfig, Undo

if TYPE_CHECKING:
    from tritop.control.recorded import RecordedControl
    from tritop.control.situation import Situation

T = TypeVar("T")

_DESCRIPTION = """Dynamic batching of a model on a running server.

show   how it is set now
set    change it; what is not named stays as it is
undo   take the last change back, or a trial that is still open
save   write what runs into config.pbtxt, keeping the rest of the file"""
_ON_OFF = "on|off"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("show", "set", "undo", "save"))
    parser.add_argument("model", metavar="MODEL", help="name of the model")
    group = parser.add_argument_group("set")
    switch = group.add_mutually_exclusive_group()
    switch.add_argument("--on", dest="batching", action="store_const", const=True, help="turn dynamic batching on")
    switch.add_argument("--off", dest="batching", action="store_const", const=False, help="turn it off")
    group.add_argument("--max-batch", metavar="N", type=int, help="largest batch of the model; 0: it takes none")
    group.add_argument("--max-queue-delay", metavar="DURATION", help="how long a request may wait for others, as 2ms")
    group.add_argument("--preferred", metavar="N,N", help="preferred batch sizes; none: the largest")
    group.add_argument("--preserve-ordering", metavar=_ON_OFF, help="answer in the order of the requests")
    group.add_argument("--priority-levels", metavar="N", type=int, help="levels of priority; 1 is the highest")
    group.add_argument("--default-priority", metavar="N", type=int, help="level of a request that names none")
    group.add_argument("--max-queue-size", metavar="N", type=int, help="refuse requests beyond so many; 0: no bound")
    group.add_argument("--queue-timeout", metavar="DURATION", help="time-out in the queue; 0: none")
    group.add_argument("--timeout-action", choices=("reject", "delay"), help="what happens after it")
    group.add_argument("--allow-timeout-override", metavar=_ON_OFF, help="let requests ask for a shorter time-out")
    group.add_argument("--trial", metavar="DURATION", help="take the change back after, say, 30s, unless it is kept")
    group.add_argument("--keep", action="store_true", help="with --trial: keep it at the end unless it got worse")
    changing.add_arguments(parser)


def _run(namespace: argparse.Namespace) -> int:
    edit = _edit(namespace)
    if namespace.action == "set":
        if edit == ConfigEdit():
            raise UsageError("nothing was said that should change.", "See tritop batching --help.")
        trial_s = parse_seconds(namespace.trial, "--trial") if namespace.trial else None
        if trial_s is not None:
            if trial_s <= 0.0:
                raise UsageError(f"--trial {namespace.trial} is no time to try something.", "Say how long, as 30s.")
            return _trial(namespace, edit, trial_s)
        return changing.change(namespace, lambda server: EditConfig(server, namespace.model, edit))
    if edit != ConfigEdit() or namespace.trial:
        raise UsageError(f"batching {namespace.action} changes no setting.", "Say batching set.")
    if namespace.action == "show":
        return changing.show(namespace, _shown)
    return _recorded(namespace)


def _trial(namespace: argparse.Namespace, edit: ConfigEdit, trial_s: float) -> int:
    """The same preview and question as for good, then the trial is watched to its end."""
    endpoint = changing.only_server(namespace)
    wanted = EditConfig(endpoint.name, namespace.model, edit, trial_s=trial_s)

    async def run(control: RecordedControl) -> int:
        sure = await changing.agreed(control, wanted, namespace)
        if sure is None:
            return 0
        from tritop.cli.trying import run_trial, verdict

        code, text = verdict(await run_trial(control, endpoint, sure, keep=namespace.keep))
        print(printable(text))
        return code

    return changing.run_with_control(namespace, endpoint, run)


def _recorded(namespace: argparse.Namespace) -> int:
    """Undo and save: what needs the ledger, or the repository."""
    endpoint = changing.only_server(namespace)

    async def run(control: RecordedControl) -> int:
        progress = changing.ProgressLine()
        try:
            if namespace.action == "save":
                outcome = await control.save(SaveConfig(endpoint.name, namespace.model))
            else:
                from tritop.control.trials import Trials

                undo = Undo(endpoint.name, namespace.model, confirmed=namespace.yes)
                outcome = await Trials(lambda server: control).undo(undo, progress)
        finally:
            progress.end()
        changing.tell_outcome(outcome, as_json=namespace.json)
        return 0

    return changing.run_with_control(namespace, endpoint, run)


def _edit(namespace: argparse.Namespace) -> ConfigEdit:
    policy = QueuePolicyEdit(
        timeout_action=namespace.timeout_action.upper() if namespace.timeout_action else None,
        default_timeout_us=_optional(parse_us, namespace.queue_timeout, "--queue-timeout"),
        allow_timeout_override=_optional(parse_switch, namespace.allow_timeout_override, "--allow-timeout-override"),
        max_queue_size=namespace.max_queue_size,
    )
    return ConfigEdit(
        batching=namespace.batching,
        max_batch_size=namespace.max_batch,
        preferred_batch_sizes=_optional(parse_numbers, namespace.preferred, "--preferred"),
        max_queue_delay_us=_optional(parse_us, namespace.max_queue_delay, "--max-queue-delay"),
        preserve_ordering=_optional(parse_switch, namespace.preserve_ordering, "--preserve-ordering"),
        priority_levels=namespace.priority_levels,
        default_priority_level=namespace.default_priority,
        queue_policy=policy if policy != QueuePolicyEdit() else None,
    )


def _optional(parse: Callable[[str, str], T], text: str | None, what: str) -> T | None:
    return None if text is None else parse(text, what)


def _shown(situation: Situation) -> tuple[changing.Json, str]:
    config = changing.config_of(situation)
    batching, policy = config.dynamic_batching, config.dynamic_batching.default_queue_policy
    on = config.HasField("dynamic_batching")
    actions = policy.DESCRIPTOR.fields_by_name["timeout_action"].enum_type.values_by_number
    document: changing.Json = {
        "model": situation.model,
        "scheduling": config.WhichOneof("scheduling_choice"),
        "max_batch_size": config.max_batch_size,
        "dynamic_batching": on,
        "preferred_batch_sizes": list(batching.preferred_batch_size) if on else None,
        "max_queue_delay_us": batching.max_queue_delay_microseconds if on else None,
        "preserve_ordering": batching.preserve_ordering if on else None,
        "priority_levels": batching.priority_levels if on else None,
        "default_priority_level": batching.default_priority_level if on else None,
        "max_queue_size": policy.max_queue_size if on else None,
        "default_timeout_us": policy.default_timeout_microseconds if on else None,
        "timeout_action": actions[policy.timeout_action].name if on else None,
        "allow_timeout_override": policy.allow_timeout_override if on else None,
    }
    width = max(len(name) for name in document)
    return document, "\n".join(f"{name:{width}}  {_value(value)}" for name, value in document.items())


def _value(value: object) -> str:
    if value is None:
        return "--"
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(str(item) for item in value) if isinstance(value, list) else str(value)


COMMAND = Command(
    name="batching",
    summary="Show or change dynamic batching of a model, for good or as a trial.",
    description=_DESCRIPTION,
    usage="tritop batching show | set | undo | save MODEL [OPTION...]",
    add_arguments=_add_arguments,
    run=_run,
)
