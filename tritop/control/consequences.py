"""What a change does beyond the configuration: what is lost, who notices, what it needs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tritop.change import ChangeClass
from tritop.control.ensembles import broken_by, dependents_of
from tritop.control.server import Config
from tritop.control.situation import Situation
from tritop.control.versions import versions_after
from tritop.protocol import model_config_pb2

_KIND_CPU = model_config_pb2.ModelInstanceGroup.KIND_CPU


def resets_of(current: Config) -> tuple[str, ...]:
    """What starts again, or is lost, with the new copy that a full reload makes."""
    resets = ["statistics", "whatever the model keeps in memory"]
    if current.HasField("sequence_batching"):
        resets.append("live sequences")
    return tuple(resets)


def memory_of(situation: Situation) -> tuple[int | None, int | None]:
    """(bytes that a second copy takes, bytes that are free) where the server says so."""
    on_gpu = [used for place, used in situation.memory_bytes.items() if place.startswith("GPU")]
    measured = situation.measurements
    if on_gpu:
        return max(on_gpu), measured.gpu_free_bytes
    groups = situation.current.instance_group if situation.current is not None else ()
    on_cpu = [used for place, used in situation.memory_bytes.items() if place.startswith("CPU")]
    if all(group.kind == _KIND_CPU for group in groups):
        return sum(on_cpu) or None, measured.cpu_free_bytes
    return None, measured.gpu_free_bytes


def warnings_of(
    kind: ChangeClass, current: Config, after: Config, situation: Situation, *, whole: bool = False
) -> tuple[str, ...]:
    """What the operator should know before a configuration is sent, most grave first.

    Args:
        kind: how the server will carry the change out.
        current: configuration of the model.
        after: the one that it will have.
        situation: everything around it.
        whole: the configuration was written by hand, so any field of it may have been meant.
    """
    warnings = [f"the ensemble {ensemble} goes down: {reason}" for ensemble, reason in _outages(after, situation)]
    if kind is ChangeClass.FULL_RELOAD:
        warnings += _of_reload(current, situation)
    if kind is ChangeClass.IN_PLACE:
        warnings += _of_more_instances(current, after)
    warnings += _of_versions(after, situation)
    warnings += _without_effect(after, situation)
    if kind is ChangeClass.IN_PLACE and not situation.changed_here:
        warnings.append(_first_change(current))
    if after.HasField("ensemble_scheduling"):
        warnings.append("an ensemble that cannot be loaded goes down; tritop then loads its former configuration.")
    if whole and not after.input and not after.output:
        warnings.append("the configuration names no inputs and outputs; the backend must complete them.")
    return tuple(warnings)


def _of_reload(current: Config, situation: Situation) -> Iterator[str]:
    needed_bytes, free_bytes = memory_of(situation)
    if needed_bytes is not None and free_bytes is not None and needed_bytes > free_bytes:
        yield (
            f"the second copy takes about {needed_bytes} bytes and {free_bytes} are free: the reload may fail for "
            "want of memory. Unloading first avoids that, at the price of an outage."
        )
    if current.HasField("sequence_batching"):
        yield f"{sequences_lost(current, situation)} The next request of one is refused until it starts a new sequence."
    if current.model_transaction_policy.decoupled:
        yield "open streams go on with the former copy, which stays in memory until the last of them ends."
    if current.response_cache.enable:
        yield "the response cache outlives the reload: where model files changed, it answers with former results."
    dependents = dependents_of(situation.model, situation.configs)
    if dependents:
        yield f"rebuilt with it: {', '.join(dependents)}."


def _of_more_instances(current: Config, after: Config) -> Iterator[str]:
    """What holds an added instance back where no batcher empties the model's queue.

    Seen on 2.51: 50 closed-loop clients held such a change back for four minutes, while the new instance
    served. Its threads then were in `RateLimiter::DequeuePayload` and `Payload::Wait`, from which it is
    concluded that waiting requests go before the end of the start.
    """
    more = sum(group.count for group in after.instance_group) > sum(group.count for group in current.instance_group)
    if more and not after.HasField("dynamic_batching") and not after.HasField("sequence_batching"):
        yield (
            "without batching the change ends only in a moment in which no request waits: under full load that may "
            "take minutes. The new instances serve meanwhile, and nothing fails."
        )


def _first_change(current: Config) -> str:
    """The two cases in which the server reloads in full what should be done in place; neither can be seen from here."""
    files = "its files changed since it was loaded"
    if current.backend == "python":
        files += ", as they do when a Python model writes __pycache__ at its first load"
    lost = ", and live sequences are lost" if current.HasField("sequence_batching") else ""
    return (
        f"the server reloads it in full after all{lost} where it completed the configuration itself, or where {files}."
    )


def sequences_lost(current: Config, situation: Situation) -> str:
    """How many live sequences a model loses with its present copy, in sentences."""
    most = f"up to {sequence_slots(current)} for each version"
    counted = situation.sequences
    if counted is not None and counted.count:
        return f"{counted} lost, counted over {counted.watched_s:.1f} s; there can be {most}."
    if counted is not None and counted.complete:
        return f"no sequence is live just now, watched for {counted.watched_s:.1f} s; there can be {most}."
    if counted is not None:
        return f"no sequence sent anything for {counted.watched_s:.1f} s; silent ones are lost, {most}."
    why = situation.uncounted or "the server does not say how many are live."
    return f"live sequences are lost, {most}: {why}"


def sequence_slots(config: Config) -> int:
    """How many sequences one version can hold at most.

    Direct: one in each batch slot of each instance. Oldest: `max_candidate_sequences` for each
    instance (Triton's user guide, ragged and sequence batchers).
    """
    instances = sum(max(1, group.count) * max(1, len(group.gpus)) for group in config.instance_group) or 1
    if config.sequence_batching.HasField("oldest"):
        return instances * max(1, int(config.sequence_batching.oldest.max_candidate_sequences))
    return instances * max(1, int(config.max_batch_size))


def _of_versions(after: Config, situation: Situation) -> Iterator[str]:
    served = versions_after(after.version_policy, situation.ready)
    if served is None:
        return
    for version in situation.ready:
        if version not in served:
            yield f"version {version} is taken out: requests that name it are refused from then on."


def ensembles_lost(after: Config, situation: Situation) -> tuple[str, ...]:
    """Ensembles that are served now and would not be after the change, sorted by name."""
    return tuple(sorted({ensemble for ensemble, _ in _outages(after, situation)}))


def _outages(after: Config, situation: Situation) -> Iterator[tuple[str, str]]:
    """Ensembles that go down with a change, each with a reason."""
    yield from broken_by(after, situation.model, situation.configs)
    served = versions_after(after.version_policy, situation.ready)
    for name, config in situation.configs.items() if served is not None else ():
        for step in config.ensemble_scheduling.step:
            called = step.model_version if step.model_name == situation.model else None
            if called in situation.ready and called not in (served or ()):
                yield name, f"it calls version {called}, which is taken out."


def _without_effect(after: Config, situation: Situation) -> Iterator[str]:
    if after.HasField("dynamic_batching") and after.max_batch_size == 0:
        yield "dynamic batching has no effect while max_batch_size is 0."
    if after.response_cache.enable and situation.measurements.response_cache is False:
        yield "the response cache has no effect: the server runs without one (--cache-config local,size=BYTES)."
    limit = after.dynamic_batching.default_queue_policy.max_queue_size
    if limit and dependents_of(situation.model, situation.configs):
        yield "before 26.03, requests of an ensemble hang for ever where a step of it refuses them (max_queue_size)."


def unload_warnings(situation: Situation, *, version: str) -> tuple[str, ...]:
    """What unloading a whole model brings with it."""
    warnings = [
        f"the ensemble {ensemble} goes down with it, until {situation.model} is loaded again."
        for ensemble in dependents_of(situation.model, situation.configs)
    ]
    if version:
        warnings.append(f"version {version} is the only one that is served, so the whole model is unloaded.")
    warnings.append(f"requests for {situation.model} are refused at once; those in flight are finished.")
    if situation.current is not None and situation.current.HasField("sequence_batching"):
        warnings.append(sequences_lost(situation.current, situation))
    if situation.folderless:
        warnings.append("it has no folder in the repository, so it cannot be loaded again from there.")
    else:
        warnings.append("a configuration that differs from its file is lost.")
    return tuple(warnings)
