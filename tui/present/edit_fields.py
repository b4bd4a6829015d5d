"""The form of the batching editor: its fields, their values now, and the edit that typed values make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from tritop.change import ConfigEdit, QueuePolicyEdit
from tritop.errors import UsageError
from tritop.model import InstanceGroup, ModelConfig, Scheduling
from tritop.units import parse_numbers, parse_us
from tui.present.look import Look

__all__ = [
    "BATCHING", "OFF", "ON", "Draft", "EditField", "FieldKind", "draft_of", "exact_us", "fields_of", "locked_reason",
    "values_of",
]  # fmt: skip

T = TypeVar("T")
Values = Mapping[str, str]
"""What stands in each field, by its key."""
INT32_MAX = 2**31 - 1
UINT32_MAX = 2**32 - 1
OFF, ON = "off", "on"


class FieldKind(StrEnum):
    """How a field is filled in."""

    TEXT = "text"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class EditField:
    """One line of the form."""

    key: str
    label: str
    bounds: str
    """What may stand there, in a few words."""
    sentence: str
    """What it does."""
    kind: FieldKind = FieldKind.TEXT
    options: tuple[str, ...] = (OFF, ON)
    """Of a choice."""
    of_batching: bool = False
    """Means something only while dynamic batching is on."""


BATCHING = EditField(
    "batching",
    "dynamic batching",
    "on or off",
    "The server puts requests that wait together into one execution. A digit typed here begins the delay.",
    FieldKind.CHOICE,
)
_FIELDS = (
    BATCHING,
    EditField(
        "delay",
        "max queue delay",
        "500us, 2ms, 1s; 0 waits for nobody",
        "How long a request may wait for others to fill a batch. It is added to the latency of calm times.",
        of_batching=True,
    ),
    EditField(
        "max_batch",
        "max batch size",
        "0 or more; 0: it takes no batches",
        "The largest batch that the model is given. The model must be able to take it.",
    ),
    EditField(
        "preferred",
        "preferred sizes",
        "4,8,16; none: the largest",
        "Batches of these sizes are sent off at once. Triton advises against it for most models.",
        of_batching=True,
    ),
    EditField(
        "ordering",
        "preserve ordering",
        "on or off",
        "Answers leave in the order in which the requests came; it does not go with priorities or DELAY.",
        FieldKind.CHOICE,
        of_batching=True,
    ),
    EditField(
        "queue_size",
        "max queue size",
        "0 or more; 0 is unbounded",
        "Requests beyond so many that wait are refused at once.",
        of_batching=True,
    ),
    EditField(
        "timeout",
        "queue timeout",
        "500us, 2ms, 1s; 0 is none",
        "What has waited so long is treated as the timeout action says.",
        of_batching=True,
    ),
    EditField(
        "timeout_action",
        "timeout action",
        "REJECT or DELAY",
        "REJECT refuses what has timed out; DELAY serves it after everything else.",
        FieldKind.CHOICE,
        ("REJECT", "DELAY"),
        of_batching=True,
    ),
    EditField(
        "timeout_override",
        "timeout override",
        "on or off",
        "Requests may ask for a shorter time-out of their own.",
        FieldKind.CHOICE,
        of_batching=True,
    ),
    EditField(
        "levels",
        "priority levels",
        "0 or more; 0 is none",
        "Requests of level 1 are served before those of level 2, and so on.",
        of_batching=True,
    ),
    EditField(
        "default_level",
        "default priority",
        "1 to the number of levels",
        "The level of a request that names none.",
        of_batching=True,
    ),
)
_CACHE = EditField(
    "cache",
    "response cache",
    "on or off",
    "Requests that were asked before are answered from memory, where the server runs with a cache.",
    FieldKind.CHOICE,
)
_INSTANCES = "How many copies of the model execute at once. They are added and removed while it serves."
_KIND = "Where the instances run: AUTO is a GPU where the model can use one, MODEL leaves it to the model."
_GPUS = "On which GPUs, by Triton's numbers; each has as many instances as the count says."
_KINDS = ("AUTO", "CPU", "GPU", "MODEL")
_ALL = "all"
"""No GPU is named: the server takes those that it sees."""


def fields_of(config: ModelConfig, look: Look) -> tuple[EditField, ...]:
    """The lines of the form for one model; an ensemble has no instances."""
    if config.scheduling is Scheduling.ENSEMBLE:
        return (*_FIELDS, _CACHE)
    groups = _groups_of(config)
    fields: list[EditField] = []
    for place, group in enumerate(groups):
        name = "instances" if len(groups) == 1 else f"inst. {look.clean(group.name, 11)}"
        each = ", on each GPU" if len(group.gpus) > 1 else ""
        fields += [
            EditField(_key("instances", place), name, f"1 or more{each}", _INSTANCES),
            EditField(_key("kind", place), "  kind", "AUTO, CPU, GPU or MODEL", _KIND, FieldKind.CHOICE, _KINDS),
            EditField(_key("gpus", place), "  GPUs", "0,1 or all; not for CPU and MODEL", _GPUS),
        ]
    return (*_FIELDS, *fields, _CACHE)


def _groups_of(config: ModelConfig) -> tuple[InstanceGroup, ...]:
    """What the server answers of a loaded model has a group; what was never loaded may have none."""
    return config.instance_groups or (InstanceGroup("", "KIND_AUTO", 1),)


def _key(what: str, place: int) -> str:
    return f"{what}_{place}"


def _gpus_text(gpus: tuple[int, ...]) -> str:
    return ",".join(map(str, gpus)) or _ALL


def values_of(config: ModelConfig) -> dict[str, str]:
    """What stands in the fields at the beginning."""
    dynamic = config.scheduling is Scheduling.DYNAMIC_BATCHING
    preferred = config.preferred_batch_sizes
    values = {
        "batching": _switch(dynamic),
        "delay": exact_us(config.max_queue_delay_us),
        "max_batch": str(config.max_batch_size),
        # Where none is preferred the server fills the largest in, and follows it when it changes.
        "preferred": "none" if preferred in ((), (config.max_batch_size,)) else ",".join(map(str, preferred)),
        "ordering": _switch(config.preserve_ordering),
        "queue_size": str(config.max_queue_size),
        "timeout": exact_us(config.default_timeout_us),
        "timeout_action": config.timeout_action if config.timeout_action in ("REJECT", "DELAY") else "REJECT",
        "timeout_override": _switch(config.allow_timeout_override),
        "levels": str(config.priority_levels),
        "default_level": str(config.default_priority_level),
        "cache": _switch(config.response_cache),
    }
    for place, group in enumerate(_groups_of(config)) if config.scheduling is not Scheduling.ENSEMBLE else ():
        kind = group.kind.removeprefix("KIND_")
        values |= {
            _key("instances", place): str(group.count),
            _key("kind", place): kind if kind in _KINDS else _KINDS[0],
            _key("gpus", place): _gpus_text(group.gpus),
        }
    return values


def _switch(on: bool) -> str:
    return ON if on else OFF


def exact_us(us: int) -> str:
    """A duration with nothing rounded away: `0`, `500us`, `1.5ms`, `2s`."""
    if us == 0:
        return "0"
    for unit_us, unit in ((1_000_000, "s"), (1_000, "ms")):
        if us >= unit_us:
            whole, rest = divmod(us, unit_us)
            decimals = f"{rest:0{len(str(unit_us)) - 1}d}".rstrip("0")
            return f"{whole}.{decimals}{unit}" if decimals else f"{whole}{unit}"
    return f"{us}us"


def locked_reason(field: EditField, config: ModelConfig) -> str:
    """Why a field of this model can hold nothing else, "" where it can."""
    if field is BATCHING or field.of_batching:
        if config.scheduling is Scheduling.SEQUENCE_BATCHING:
            return "batches sequences: E edits that"
        if config.scheduling is Scheduling.ENSEMBLE:
            return "an ensemble: edit its steps"
    if field.key == "cache" and config.decoupled:
        return "a decoupled model cannot be cached"
    if field.key == "cache" and config.scheduling is Scheduling.SEQUENCE_BATCHING:
        return "not with sequence batching"
    return ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the typed values come to."""

    edit: ConfigEdit
    """Without the fields that have an error."""
    errors: Mapping[str, str]
    """What is wrong with a field, by its key."""

    @property
    def empty(self) -> bool:
        """Whether nothing differs from what runs."""
        return self.edit == ConfigEdit() and not self.errors


def draft_of(config: ModelConfig, values: Values, look: Look) -> Draft:
    """The edit that makes the fields hold `values`; what is as it was is not in it.

    Args:
        config: what runs.
        values: what stands in the fields; those that are locked are left out.
        look: characters for the messages.
    """
    reader = _Reader(config, values, look)
    if config.scheduling in (Scheduling.NONE, Scheduling.DYNAMIC_BATCHING):
        edit = _batching(reader, config)
    else:
        edit = ConfigEdit(max_batch_size=reader.number("max_batch", 0, INT32_MAX))
    edit = replace(edit, response_cache=reader.switch("cache"))
    if config.scheduling is not Scheduling.ENSEMBLE:
        edit = _with_instances(reader, config, edit)
    return Draft(edit, reader.errors)


def _batching(reader: _Reader, config: ModelConfig) -> ConfigEdit:
    edit = ConfigEdit(batching=reader.switch("batching"), max_batch_size=reader.number("max_batch", 0, INT32_MAX))
    if reader.values["batching"] == OFF:
        return edit
    policy = QueuePolicyEdit(
        timeout_action=reader.changed("timeout_action", str),
        default_timeout_us=reader.duration_us("timeout"),
        allow_timeout_override=reader.switch("timeout_override"),
        max_queue_size=reader.number("queue_size", 0, UINT32_MAX),
    )
    edit = replace(
        edit,
        max_queue_delay_us=reader.duration_us("delay"),
        preferred_batch_sizes=reader.sizes("preferred"),
        preserve_ordering=reader.switch("ordering"),
        priority_levels=reader.number("levels", 0, UINT32_MAX),
        default_priority_level=reader.number("default_level", 0, UINT32_MAX),
        queue_policy=policy if policy != QueuePolicyEdit() else None,
    )
    _check_together(reader, config, edit)
    return edit


def _check_together(reader: _Reader, config: ModelConfig, edit: ConfigEdit) -> None:
    """The rules between two fields, at the field that one would change first."""
    largest = config.max_batch_size if edit.max_batch_size is None else edit.max_batch_size
    sizes = edit.preferred_batch_sizes
    if sizes is None and config.preferred_batch_sizes != (config.max_batch_size,):
        sizes = config.preferred_batch_sizes
    if sizes and max(sizes) > largest:
        reader.errors.setdefault("preferred", f"{max(sizes)} is above the max batch size {largest}")
    levels = config.priority_levels if edit.priority_levels is None else edit.priority_levels
    level = config.default_priority_level if edit.default_priority_level is None else edit.default_priority_level
    if levels and not 1 <= level <= levels:
        reader.errors.setdefault("default_level", f"must be 1 to {levels}")


def _with_instances(reader: _Reader, config: ModelConfig, edit: ConfigEdit) -> ConfigEdit:
    groups = _groups_of(config)
    wanted = tuple(_group(reader, place, group) for place, group in enumerate(groups))
    if wanted == groups:
        return edit
    if len(groups) == 1 and wanted[0] == replace(groups[0], count=wanted[0].count):
        return replace(edit, instance_count=wanted[0].count)
    return replace(edit, instance_groups=wanted)


def _group(reader: _Reader, place: int, group: InstanceGroup) -> InstanceGroup:
    count = reader.number(_key("instances", place), 1, INT32_MAX)
    kind = reader.changed(_key("kind", place), lambda text: f"KIND_{text}")
    gpus = reader.gpus(_key("gpus", place))
    wanted = replace(group, count=group.count if count is None else count, kind=kind or group.kind)
    if wanted.kind not in {"KIND_CPU", "KIND_MODEL"}:
        return wanted if gpus is None else replace(wanted, gpus=gpus)
    if gpus:
        reader.errors.setdefault(_key("gpus", place), f"not for {wanted.kind}")
    return replace(wanted, gpus=())


class _Reader:
    """Reads fields that differ from what runs, and keeps what is wrong with them."""

    def __init__(self, config: ModelConfig, values: Values, look: Look) -> None:
        self._before = values_of(config)
        self._look = look
        self.values = {**self._before, **{key: text.strip() for key, text in values.items()}}
        self.errors: dict[str, str] = {}

    def changed(self, key: str, read: Callable[[str], T]) -> T | None:
        """The value of a field, `None` where it is as it was or cannot be read."""
        if self.values[key] == self._before[key]:
            return None
        try:
            value, before = read(self.values[key]), read(self._before[key])
        except UsageError as error:
            self.errors[key] = self._look.clean(error.advice or error.sentence, 100)
            return None
        return None if value == before else value

    def switch(self, key: str) -> bool | None:
        """Whether a switch is on."""
        return self.changed(key, lambda text: text == ON)

    def number(self, key: str, lowest: int, highest: int) -> int | None:
        """A whole number within bounds."""

        def read(text: str) -> int:
            if not (text.isascii() and text.isdecimal()) or not lowest <= int(text[:12]) <= highest:
                raise UsageError(f"must be a whole number, {lowest} to {highest}")
            return int(text)

        return self.changed(key, read)

    def duration_us(self, key: str) -> int | None:
        """A duration with its unit [us]."""
        return self.changed(key, lambda text: parse_us(text, "the duration"))

    def gpus(self, key: str) -> tuple[int, ...] | None:
        """Numbers of GPUs; () is all of them."""

        def read(text: str) -> tuple[int, ...]:
            words = () if text.lower() == _ALL else text.replace(",", " ").split()
            numbers = all(word.isascii() and word.isdecimal() and len(word) < 10 for word in words)
            if not numbers or len({*map(int, words)}) < len(words):
                raise UsageError("numbers such as 0,1, each once; or all")
            return tuple(map(int, words))

        return self.changed(key, read)

    def sizes(self, key: str) -> tuple[int, ...] | None:
        """Batch sizes in the order that they were given."""

        def read(text: str) -> tuple[int, ...]:
            sizes = parse_numbers(" ".join(text.replace(",", " ").split()).replace(" ", ",") or "none", "sizes")
            if any(not 1 <= size <= INT32_MAX for size in sizes):
                raise UsageError(f"each must be 1 to {INT32_MAX}")
            return sizes

        return self.changed(key, read)
