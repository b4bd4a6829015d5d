"""What a change of a model will do, in lines; and the same change as a command to copy."""

from __future__ import annotations

import shlex

from tritop.change import ChangeClass, ConfigEdit, FieldChange, Preview
from tritop.model import ModelConfig, ModelState, Server, Traffic
from tritop.operation import EditConfig, LoadModel, ModelChange, ReloadModel, SetVersions, UnloadModel
from tui.format import bytes_iec, duration_s, rate
from tui.present.edit_fields import exact_us
from tui.present.lines import bullet, wrapped
from tui.present.look import Look
from tui.present.traffic import runs
from tui.widgets.lines import Line

__all__ = ["change_title", "command_of", "diff_lines", "headline", "preview_lines", "serving_lines", "told"]

LABEL = 12
NOT_SET = "(not set)"


def headline(preview: Preview, look: Look) -> Line:
    """The class of a change and how long it takes."""
    if preview.obstacle:
        return ((f"{look.glyphs.failed} will not be sent", "error"),)
    spans: list[tuple[str, str]] = [(str(preview.change), "dim" if preview.change is ChangeClass.NOTHING else "title")]
    gap = (f" {look.glyphs.separator} ", "dim")
    if preview.expected_s is not None:
        spans += [gap, (f"about {duration_s(preview.expected_s)}", "")]
    elif preview.change in (ChangeClass.FULL_RELOAD, ChangeClass.LOAD):
        spans += [gap, ("how long is not known", "dim")]
    if preview.file:
        spans += [gap, ("in config.pbtxt", "accent")]
    return tuple(spans)


def preview_lines(preview: Preview, width: int, look: Look) -> list[Line]:
    """Everything that is known about a change before it is sent, the most grave first.

    Args:
        preview: what was found out.
        width: cells.
        look: characters to draw with.
    """
    lines: list[Line] = [headline(preview, look)]
    facts = [("refused", preview.refusal, "error")]
    facts += [("wrong", str(problem), "error") for problem in preview.problems]
    facts += [("lost", field, "error") for field in preview.lost_fields]
    facts += [("note", warning, "warn") for warning in preview.warnings]
    for label, text, tone in facts:
        if text:
            lines += bullet(label, LABEL, look.clean(text, 1000), width, tone)
    lines += diff_lines(preview.diff, width, look)
    lines += _memory_lines(preview, width)
    if preview.resets:
        lines += bullet("starts again", LABEL, look.clean(", ".join(preview.resets), 400), width, "dim")
    if preview.dependents:
        lines += bullet("called by", LABEL, look.clean(", ".join(preview.dependents), 400), width, "dim")
    return lines


def _memory_lines(preview: Preview, width: int) -> list[Line]:
    """What the second copy of a full reload takes against what is free."""
    needed, free = preview.memory_needed_bytes, preview.memory_free_bytes
    if preview.change is not ChangeClass.FULL_RELOAD or preview.obstacle:
        return []
    copy = "of unknown size" if needed is None else f"of {bytes_iec(needed)}"
    room = "" if free is None else f", {bytes_iec(free)} free"
    short = needed is not None and free is not None and needed > free
    return bullet("memory", LABEL, f"a second copy {copy} until the swap{room}", width, "error" if short else "dim")


def diff_lines(diff: tuple[FieldChange, ...], width: int, look: Look) -> list[Line]:
    """A line for each field that differs, wrapped where it is long."""
    lines: list[Line] = []
    for one in diff:
        path = look.clean(one.path, 200)
        before, after = (look.clean(text, 300) or NOT_SET for text in (one.before, one.after))
        values = f"{before} {look.glyphs.arrow} {after}"
        if len(path) + len(values) + 2 <= width:
            lines.append(((f"{path}  ", "dim"), (values, "accent")))
        else:
            lines += wrapped(path, width, "dim")
            lines += wrapped(values, width, "accent", indent="  ")
    return lines


def change_title(change: ModelChange, look: Look) -> str:
    """A change as a question: what would be done to what."""
    name = look.clean(change.model, 60)
    text = f"Change {name}?"
    match change:
        case UnloadModel(version=version):
            text = f"Take version {look.clean(version, 12)} of {name} out?" if version else f"Unload {name}?"
        case LoadModel(version=version):
            text = f"Serve version {look.clean(version, 12)} of {name} as well?" if version else f"Load {name}?"
        case ReloadModel():
            text = f"Reload {name}?"
        case SetVersions(versions=versions):
            text = f"Serve {versions} of {name}?"
        case EditConfig(trial_s=trial_s) if trial_s is not None:
            text = f"Change {name} on trial for {duration_s(trial_s)}?"
    return text


def told(change: ModelChange) -> str:
    """A change in two words, for a line that says how it comes along."""
    match change:
        case UnloadModel():
            return "unload"
        case LoadModel():
            return "load"
        case ReloadModel():
            return "reload"
        case SetVersions():
            return "versions of"
        case EditConfig(trial_s=trial_s) if trial_s is not None:
            return "trial of"
    return "edit"


def serving_lines(server: Server, model: str, traffic: tuple[Traffic, ...], width: int, look: Look) -> list[Line]:
    """What goes through a model now: what an unload would cut off."""
    rows = [row for row in server.models if row.name == model and row.state is ModelState.READY]
    if not rows:
        return bullet("now", LABEL, "not served", width, "dim")
    parts = [f"version {look.clean(row.version, 12)}: {rate(row.requests_per_s)} requests/s" for row in rows]
    lines = bullet("now", LABEL, look.joined(parts), width)
    ours = [one for one in traffic if one.model == model and one.server == server.name and runs(one)]
    for one in ours:
        sent = f"{one.concurrency} in flight" if one.concurrency is not None else f"{rate(one.rate_per_s)}/s"
        lines += bullet("our traffic", LABEL, sent, width)
    return lines


def command_of(server: Server, model: str, edit: ConfigEdit, pbtxt: str) -> str:
    """A change as shell commands that do the same.

    Args:
        server: named by its address.
        model: its name; quoted where a shell needs it.
        edit: what is changed.
        pbtxt: the whole configuration after it, for what has no option of its own.
    """
    where = f"-u {shlex.quote(server.endpoint)}"
    name = shlex.quote(model)
    if edit.pbtxt is not None or edit.response_cache is not None or edit.instance_groups is not None:
        return f"tritop load {name} {where} --yes --config - <<'END_OF_CONFIG'\n{pbtxt.rstrip()}\nEND_OF_CONFIG"
    commands = []
    options = batching_options(edit)
    if options:
        commands.append(f"tritop batching set {name} {where} {' '.join(options)}")
    if edit.instance_count is not None:
        commands.append(f"tritop instances {name} {edit.instance_count} {where}")
    if edit.versions is not None:
        commands.append(f"tritop versions {name} --keep {edit.versions} {where}")
    return " && ".join(commands)


def batching_options(edit: ConfigEdit) -> list[str]:
    """The options of `tritop batching set` for an edit."""
    policy = edit.queue_policy
    values: list[tuple[str, str | None]] = [
        ("--max-batch", _text(edit.max_batch_size)),
        ("--max-queue-delay", _duration(edit.max_queue_delay_us)),
        ("--preferred", _sizes(edit.preferred_batch_sizes)),
        ("--preserve-ordering", _switch(edit.preserve_ordering)),
        ("--priority-levels", _text(edit.priority_levels)),
        ("--default-priority", _text(edit.default_priority_level)),
    ]
    if policy is not None:
        values += [
            ("--max-queue-size", _text(policy.max_queue_size)),
            ("--queue-timeout", _duration(policy.default_timeout_us)),
            ("--timeout-action", None if policy.timeout_action is None else policy.timeout_action.lower()),
            ("--allow-timeout-override", _switch(policy.allow_timeout_override)),
        ]
    switch = {True: ["--on"], False: ["--off"], None: []}[edit.batching]
    return switch + [word for option, value in values if value is not None for word in (option, value)]


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _duration(us: int | None) -> str | None:
    return None if us is None else exact_us(us)


def _sizes(sizes: tuple[int, ...] | None) -> str | None:
    return None if sizes is None else ",".join(map(str, sizes)) or "none"


def _switch(on: bool | None) -> str | None:
    return None if on is None else "on" if on else "off"


def known_versions(server: Server, model: str) -> list[tuple[str, ModelState]]:
    """The versions of a model that the server has told of, the highest first, each with its state."""
    found = [(row.version, row.state) for row in server.models if row.name == model and row.version.isdecimal()]
    return sorted(found, key=lambda one: -int(one[0]))


def config_in(server: Server, model: str) -> ModelConfig | None:
    """The configuration that a server runs for a model, `None` while it is not known."""
    return next((row.config for row in server.models if row.name == model and row.config is not None), None)
