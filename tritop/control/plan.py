"""From a change that is asked for to what will be sent, and what it will do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tritop.change import ChangeClass, ConfigEdit, FieldChange, Preview, Problem, VersionChoice
from tritop.control.compare import change_class, completed, diff, lost_fields, normalised
from tritop.control.consequences import ensembles_lost, memory_of, resets_of, unload_warnings, warnings_of
from tritop.control.edit import apply_edit, as_json, as_pbtxt, parse_config
from tritop.control.ensembles import dependents_of, problems_of_ensemble
from tritop.control.merge import listed, made_since, replaces_everything, seen_by, undone_by
from tritop.control.server import Config
from tritop.control.situation import Situation
from tritop.control.validate import problems_of
from tritop.errors import UsageError
from tritop.operation import (
    EditConfig,
    LoadModel,
    ModelChange,
    ModelOperation,
    PreviewChange,
    PreviewEdit,
    ReloadModel,
    SetVersions,
    UnloadModel,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A preview, and what is sent where it is accepted."""

    preview: Preview
    wanted: Config | None = None
    """The configuration to load with; `None` takes the repository's, or unloads."""
    nothing: str = ""
    """Why there is nothing to do."""


def change_of(operation: ModelOperation) -> ModelChange:
    """The change that is asked for, or asked about."""
    if isinstance(operation, PreviewEdit):
        return EditConfig(operation.server, operation.model, operation.edit)
    return operation.change if isinstance(operation, PreviewChange) else operation


def plan(change: ModelChange, situation: Situation) -> Plan:
    """What a change comes to."""
    blank = Preview(
        server=situation.server,
        model=situation.model,
        change=ChangeClass.NOTHING,
        refusal=situation.refusal,
        by_mode=situation.by_mode,
        dependents=dependents_of(situation.model, situation.configs),
        pbtxt_before=as_pbtxt(situation.current) if situation.current is not None else "",
    )
    if situation.folderless and isinstance(change, UnloadModel) and not change.version:
        return Plan(replace(blank, change=ChangeClass.UNLOAD, warnings=unload_warnings(situation, version="")))
    if situation.obstacle:
        return _impossible(blank, situation.obstacle)
    if not situation.known:
        return _impossible(blank, f"there is no model {situation.model!r} in the repository of {situation.server}.")
    others, conflict = _since(change, situation)
    if conflict:
        return _impossible(blank, conflict)
    match change:
        case LoadModel() | ReloadModel():
            planned = _load(blank, situation, change)
        case UnloadModel():
            planned = _unload(blank, situation, change)
        case _:
            planned = _edit(blank, situation, _edit_of(change))
    if not others:
        return planned
    note = f"somebody else has changed {listed(others)} since; that stays as it is."
    preview = replace(planned.preview, others=others, warnings=(note, *planned.preview.warnings))
    return replace(planned, preview=preview)


def _edit_of(change: EditConfig | SetVersions) -> ConfigEdit:
    return change.edit if isinstance(change, EditConfig) else ConfigEdit(versions=change.versions)


def _since(change: ModelChange, situation: Situation) -> tuple[tuple[FieldChange, ...], str]:
    """(what somebody else changed since the operator looked and that stays, why the change cannot be made then)."""
    text, current = seen_by(change), situation.current
    if not text:
        return (), ""
    if current is None:
        gone = f"somebody else has unloaded {situation.model} since you looked at it."
        return (), gone if replaces_everything(change) else ""
    seen = parse_config(text)
    others = made_since(seen, current)
    touched = others if replaces_everything(change) else _undone(change, seen, current, others)
    if touched:
        return (), (
            f"somebody else has changed {situation.model} since you looked at it: {listed(touched)}. Look at it again."
        )
    return others, ""


def _undone(
    change: ModelChange, seen: Config, current: Config, others: tuple[FieldChange, ...]
) -> tuple[FieldChange, ...]:
    """What an edit would undo of what others did; one version more or less goes with any choice of versions."""
    if not isinstance(change, EditConfig | SetVersions):
        return ()
    try:
        wanted = apply_edit(current, _edit_of(change))
    except UsageError:
        return ()  # said once it is planned
    return undone_by(completed(wanted, current), seen, others)


def _impossible(blank: Preview, sentence: str, path: str = "") -> Plan:
    return Plan(replace(blank, change=ChangeClass.NOTHING, problems=(Problem(path, sentence),)))


def _edit(blank: Preview, situation: Situation, edit: ConfigEdit) -> Plan:
    current = situation.current
    if current is None:
        return _impossible(blank, "is not loaded, so it has no configuration to change; load it.", situation.model)
    try:
        wanted = apply_edit(current, edit)
    except UsageError as error:
        return _impossible(blank, str(error))
    kind = change_class(current, wanted)
    if kind is ChangeClass.NOTHING:
        return Plan(blank, nothing=f"{situation.model} is configured like that already")
    after = completed(wanted, current)
    reloads = kind is ChangeClass.FULL_RELOAD
    needed_bytes, free_bytes = memory_of(situation) if reloads else (None, None)
    preview = replace(
        blank,
        change=kind,
        diff=diff(normalised(current), after),
        problems=_problems(wanted, situation),
        warnings=warnings_of(kind, current, after, situation, whole=edit.pbtxt is not None),
        lost_fields=(
            *lost_fields(current, wanted, meant=_meant(edit)),
            *(f"ensemble {name}" for name in ensembles_lost(after, situation)),
        ),
        expected_s=situation.measurements.load_s.get(situation.model) if reloads else None,
        memory_needed_bytes=needed_bytes,
        memory_free_bytes=free_bytes,
        resets=resets_of(current) if reloads else (),
        countable=reloads and _are_countable(situation),
        pbtxt_after=as_pbtxt(wanted),
        json_after=as_json(wanted),
    )
    return Plan(preview, wanted)


def _meant(edit: ConfigEdit) -> tuple[str, ...]:
    """Top-level fields that an edit names itself: it may well set them to nothing."""
    named = {
        "dynamic_batching": edit.batching is False,
        "max_batch_size": edit.max_batch_size is not None,
        "response_cache": edit.response_cache is not None,
        "instance_group": edit.instance_groups is not None,
        "version_policy": edit.versions is not None,
    }
    return tuple(field for field, is_named in named.items() if is_named)


def _problems(wanted: Config, situation: Situation) -> tuple[Problem, ...]:
    return (
        *problems_of(wanted, model=situation.model, gpus=situation.measurements.gpus),
        *problems_of_ensemble(wanted, situation.model, situation.ready_of_all(), situation.configs),
    )


def _load(blank: Preview, situation: Situation, change: LoadModel | ReloadModel) -> Plan:
    ready = situation.ready
    if isinstance(change, ReloadModel):
        if not ready:
            return _impossible(blank, "is not loaded, so there is nothing to reload; load it.", situation.model)
        change = LoadModel(change.server, change.model)
    if ready and change.version:
        if int(change.version) in ready:
            return Plan(blank, nothing=f"version {change.version} of {change.model} is served already")
        return _edit(blank, situation, ConfigEdit(versions=VersionChoice(specific=(*ready, int(change.version)))))
    if ready and change.pbtxt:
        return _edit(blank, situation, ConfigEdit(pbtxt=change.pbtxt))
    wanted: Config | None = None
    problems: tuple[Problem, ...] = ()
    if change.pbtxt:
        try:
            wanted = parse_config(change.pbtxt)
        except UsageError as error:
            return _impossible(blank, str(error))
        problems = _problems(wanted, situation)
    warnings: tuple[str, ...] = ()
    if ready:
        warnings = (
            f"{change.model} is loaded already. Where its files are newer than what is loaded it is reloaded in full "
            "and its configuration is the file's again; otherwise nothing happens.",
        )
    preview = replace(
        blank,
        change=ChangeClass.LOAD,
        problems=problems,
        warnings=warnings,
        expected_s=situation.measurements.load_s.get(change.model),
        pbtxt_after=as_pbtxt(wanted) if wanted is not None else "",
    )
    return Plan(preview, wanted)


def _unload(blank: Preview, situation: Situation, change: UnloadModel) -> Plan:
    ready = situation.ready
    if change.version:
        if int(change.version) not in ready:
            return Plan(blank, nothing=f"version {change.version} of {change.model} is not served")
        rest = tuple(version for version in ready if version != int(change.version))
        if rest:
            return _edit(blank, situation, ConfigEdit(versions=VersionChoice(specific=rest)))
    states = {row.state for row in situation.index if row.name == change.model}
    if not states & {"READY", "LOADING", "UNLOADING"}:
        return Plan(blank, nothing=f"{change.model} is not loaded")
    warnings = unload_warnings(situation, version=change.version)
    return Plan(replace(blank, change=ChangeClass.UNLOAD, warnings=warnings, countable=_are_countable(situation)))


def _are_countable(situation: Situation) -> bool:
    """Whether the model may have live sequences, and nobody has tried to count them."""
    current = situation.current
    asked = situation.sequences is not None or situation.uncounted != ""
    return current is not None and current.HasField("sequence_batching") and not asked
