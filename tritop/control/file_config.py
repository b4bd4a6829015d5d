"""What a server makes of a config file, and what the file must say to make it run as it does. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from tritop.control.compare import completed, normalised
from tritop.control.pbtxt_tree import CannotEdit
from tritop.control.versions import policy_in_force
from tritop.protocol import model_config_pb2
from tritop.reading import IndexEntry

Config: TypeAlias = model_config_pb2.ModelConfig

_INFERRED = ("backend", "platform", "default_model_filename", "runtime")
_COMPLETED = ("max_batch_size", "input", "output")
_TWO_CPU_INSTANCES = ("onnxruntime", "tensorflow")
"""Backends with two instances on a CPU unless the file says otherwise (core, `SetDefaultInstanceCount`)."""


def as_loaded(file: Config, running: Config, *, completes_itself: bool) -> Config:
    """What the server made of a config file, as far as that can be told from what runs.

    The server fills in what a file leaves out: `normalised` and `completed` say what it always
    does. What a backend adds by looking at the model file (auto-complete: the batch size, inputs,
    outputs, and dynamic batching with them) is believed where the file is silent about it and the
    backend can do so; an operator's change of just that cannot be told from it.

    Args:
        file: what the config file says, empty where there is none.
        running: what the server says.
        completes_itself: whether a Python model has `auto_complete_config`.
    """
    copy = Config()
    copy.CopyFrom(file)
    for name in _INFERRED:
        if not getattr(copy, name):
            setattr(copy, name, getattr(running, name))
    if running.backend != "python" or completes_itself:
        _complete(copy, running, by_code=completes_itself)
    _place_instances(copy, running)
    return completed(copy, running)


def _complete(copy: Config, running: Config, *, by_code: bool) -> None:
    if running.HasField("ensemble_scheduling"):
        return
    silent = [name for name in _COMPLETED if not getattr(copy, name)]
    batching = running.dynamic_batching
    bare = Config()
    bare.dynamic_batching.preferred_batch_size.append(running.max_batch_size)
    scheduled = copy.WhichOneof("scheduling_choice") is not None
    if not scheduled and batching == bare.dynamic_batching and (by_code or "max_batch_size" in silent):
        copy.dynamic_batching.CopyFrom(batching)
    for name in silent:
        one = Config()
        one.CopyFrom(running)
        for field, _ in one.ListFields():
            if field.name != name:
                one.ClearField(field.name)
        copy.MergeFrom(one)
    if by_code and not copy.HasField("model_transaction_policy"):
        copy.model_transaction_policy.CopyFrom(running.model_transaction_policy)


def _place_instances(copy: Config, running: Config) -> None:
    """Fill in what the server chooses for an instance group: kind, number, and all GPUs that it sees."""
    if not copy.instance_group and len(running.instance_group) == 1:
        copy.instance_group.add(name=running.instance_group[0].name)
    if len(copy.instance_group) != len(running.instance_group):
        return
    groups = model_config_pb2.ModelInstanceGroup
    for group, real in zip(copy.instance_group, running.instance_group, strict=True):
        if group.kind == groups.KIND_AUTO and real.kind in {groups.KIND_CPU, groups.KIND_GPU}:
            group.kind = real.kind
        on_cpu = group.kind == groups.KIND_CPU
        if group.count < 1:
            group.count = 2 if on_cpu and running.backend in _TWO_CPU_INSTANCES else 1
        if group.kind == groups.KIND_GPU and not group.gpus and list(real.gpus) == list(range(len(real.gpus))):
            group.gpus.extend(real.gpus)


def in_force(running: Config, file: Config, index: Sequence[IndexEntry]) -> Config:
    """What runs, with the version policy that explains the repository index, the file's if it does.

    A configuration is per version and its policy goes stale (see `versions`).
    """
    copy = Config()
    copy.CopyFrom(running)
    policy = policy_in_force([normalised(file).version_policy, running.version_policy], index, running.name)
    copy.version_policy.CopyFrom(policy)
    return copy


_ROUNDS = 3


def file_for(file: Config, running: Config, *, completes_itself: bool) -> Config:
    """What the file must say so that the server makes of it what runs.

    Only what differs is changed, and nothing is written that the server fills in by itself.

    Raises:
        CannotEdit: there is no such file: something that runs cannot be said in one.
    """

    def same(candidate: Config) -> bool:
        return bool(as_loaded(candidate, running, completes_itself=completes_itself) == normalised(running))

    wanted = Config()
    wanted.CopyFrom(file)
    # What the server fills in depends on other fields (preferred sizes on the largest batch), so
    # a field may differ only once another one has been taken over.
    for _ in range(_ROUNDS):
        _follow(wanted, as_loaded(wanted, running, completes_itself=completes_itself), normalised(running))
        if same(wanted):
            break
    else:
        raise CannotEdit(f"What runs as {running.name} cannot be said in its config file.")
    _strip(wanted, wanted, file, same)
    return wanted


def _follow(wanted: Any, made: Any, running: Any) -> None:
    """Take over every field in which what the server made of the file differs from what runs."""
    for field in running.DESCRIPTOR.fields:
        mine, real = getattr(made, field.name), getattr(running, field.name)
        present = field.has_presence and running.HasField(field.name)
        if mine == real and (not field.has_presence or made.HasField(field.name) == present):
            continue
        if _is_list_of_messages(field) and len(getattr(wanted, field.name)) == len(mine) == len(real):
            for inner in zip(getattr(wanted, field.name), mine, real, strict=True):
                _follow(*inner)
        elif present and field.message_type is not None and wanted.HasField(field.name):
            _follow(getattr(wanted, field.name), mine, real)
        else:
            _take(wanted, field, running)


def _take(wanted: Any, field: FieldDescriptor, running: Any) -> None:
    wanted.ClearField(field.name)
    value = getattr(running, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(wanted, field.name).MergeFrom(value)
    elif field.is_repeated:
        getattr(wanted, field.name).extend(value)
    elif not field.has_presence or running.HasField(field.name):
        if field.message_type is not None:
            getattr(wanted, field.name).CopyFrom(value)
        else:
            setattr(wanted, field.name, value)


def _is_list_of_messages(field: FieldDescriptor) -> bool:
    return field.is_repeated and field.message_type is not None and not bool(field.message_type.GetOptions().map_entry)


def _strip(whole: Config, message: Any, file: Any, same: Any) -> None:
    """Leave out again what the file did not say and what the server fills in."""
    # Putting a field back makes new messages of what is in it, so each value is asked for anew.
    for field in [field for field, _ in message.ListFields()]:
        before = getattr(file, field.name) if file is not None else None
        was_there = file is not None and any(field.name == known.name for known, _ in file.ListFields())
        if not was_there and _droppable(whole, message, field, same):
            continue
        for inner, old in _inner(field, getattr(message, field.name), before if was_there else None):
            _strip(whole, inner, old, same)


def _droppable(whole: Config, message: Any, field: FieldDescriptor, same: Any) -> bool:
    """Clear a field; put it back where that makes a difference."""
    kept = type(message)()
    kept.CopyFrom(message)
    message.ClearField(field.name)
    if same(whole):
        return True
    message.CopyFrom(kept)
    return False


def _inner(field: FieldDescriptor, value: Any, before: Any) -> Iterator[tuple[Any, Any]]:
    """The messages in a field, each with the one that the file has in its place."""
    if field.message_type is None or field.message_type.GetOptions().map_entry:
        return
    if not field.is_repeated:
        yield value, before
        return
    old = list(before) if before is not None else []
    for at, one in enumerate(value):
        yield one, old[at] if at < len(old) else None
