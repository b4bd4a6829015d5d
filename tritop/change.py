"""What an operator wants changed about a model, and what tritop says of it before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # A Snapshot holds operations, which hold edits, so the way back must not be walked at run time.
    from tritop.model import InstanceGroup


@dataclass(frozen=True, slots=True)
class VersionChoice:
    """A `version_policy`: exactly one of the three is set."""

    latest: int | None = None
    """Serve the highest N version numbers."""
    all: bool = False
    specific: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.all:
            return "all"
        if self.specific:
            return ",".join(str(version) for version in self.specific)
        return f"latest:{self.latest}"


@dataclass(frozen=True, slots=True)
class QueuePolicyEdit:
    """Fields of `default_queue_policy` to change; `None` leaves a field as it is."""

    timeout_action: str | None = None
    """REJECT or DELAY."""
    default_timeout_us: int | None = None
    """0 is no time-out."""
    allow_timeout_override: bool | None = None
    max_queue_size: int | None = None
    """0 is unbounded."""


@dataclass(frozen=True, slots=True)
class ConfigEdit:
    """Fields of a model configuration to change; `None` leaves a field as it is.

    `pbtxt` replaces the whole configuration instead, and no other field may be set with it.
    """

    batching: bool | None = None
    """Dynamic batching on or off. Turning it off drops its settings."""
    max_batch_size: int | None = None
    preferred_batch_sizes: tuple[int, ...] | None = None
    """() leaves the choice to Triton, which is what its documentation advises."""
    max_queue_delay_us: int | None = None
    preserve_ordering: bool | None = None
    priority_levels: int | None = None
    default_priority_level: int | None = None
    queue_policy: QueuePolicyEdit | None = None
    instance_groups: tuple[InstanceGroup, ...] | None = None
    instance_count: int | None = None
    """Sets `count` of every instance group and leaves the rest of them alone."""
    response_cache: bool | None = None
    versions: VersionChoice | None = None
    pbtxt: str | None = None


class ChangeClass(StrEnum):
    """How the server will carry a change out (core, `ConfigChangeRequiresReload`)."""

    NOTHING = "nothing to do"
    IN_PLACE = "in place"
    """Only `instance_group` or `version_policy` differ: what is kept goes on serving untouched."""
    FULL_RELOAD = "full reload"
    """A second copy is loaded in the background and swapped in; both are in memory until then."""
    LOAD = "load"
    """The model is loaded from the repository; what is loaded already stays unless its files are newer."""
    UNLOAD = "unload"
    """The model stops to take requests, and goes once those in flight are done."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs; "" is absent."""

    path: str
    """Such as `dynamic_batching.max_queue_delay_microseconds` or `instance_group[matrix_0].count`."""
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}: {self.before or '(not set)'} -> {self.after or '(not set)'}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a configuration cannot be loaded."""

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change will do, found out without sending it."""

    server: str
    model: str
    change: ChangeClass
    diff: tuple[FieldChange, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Not empty: the server would refuse it, so it is not sent."""
    refusal: str = ""
    """Why the server as a whole forbids it (control mode, restricted protocol, read-only)."""
    by_mode: bool = False
    """The server's control mode is why: it reads files, and takes no configuration."""
    file: str = ""
    """The config file that is written instead of anything being sent, "" where the change is sent."""
    warnings: tuple[str, ...] = ()
    """What the operator should know and may accept, most grave first."""
    lost_fields: tuple[str, ...] = ()
    """What is there now and would not be after, other than by the edit's own words: fields such as `input`, inputs
    and outputs such as `output[SCORES]`, and what is served, such as `ensemble pipeline`. Each needs a confirmation."""
    expected_s: float | None = None
    """Duration of the last load of the model, `None` if the server has not said."""
    memory_needed_bytes: int | None = None
    """What a second copy takes, where the backend reports it."""
    memory_free_bytes: int | None = None
    resets: tuple[str, ...] = ()
    """What starts again at 0 or is lost, such as "statistics"."""
    dependents: tuple[str, ...] = ()
    """Ensembles that call the model."""
    countable: bool = False
    """Live sequences are lost with it, and were not counted; `PreviewChange.count_sequences` does."""
    others: tuple[FieldChange, ...] = ()
    """What somebody else changed since the operator looked, and what stays as they left it."""
    pbtxt_before: str = ""
    pbtxt_after: str = ""
    json_after: str = ""
    """The same configuration as the JSON that Triton's load API takes."""

    @property
    def obstacle(self) -> str:
        """Why it is not sent, "" where nothing is in the way."""
        return self.refusal or " ".join(str(problem) for problem in self.problems)

    @property
    def sendable(self) -> bool:
        """Whether there is something to send that the server can be expected to accept."""
        return not self.obstacle and self.change is not ChangeClass.NOTHING


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change that was carried out."""

    text: str
    """One sentence; holds names that are the server's: untrusted."""
    changed: bool
    """False where there was nothing to do, so nothing was sent."""
    preview: Preview
    """What was expected; `diff`, `pbtxt_before` and `pbtxt_after` are what an undo needs."""
    duration_s: float = 0.0
    """Seconds from the first call until the server was seen in its new state."""
    versions_before: tuple[int, ...] = ()
    """READY versions before and after, from the repository index."""
    versions_after: tuple[int, ...] = ()


class DriftState(StrEnum):
    """How the running configuration of a model stands to its `config.pbtxt`."""

    SAME = "same"
    DRIFTED = "drifted"
    NO_FILE = "no file"
    """The folder of the model has none: the server completed the whole configuration by itself."""
    UNREADABLE = "unreadable"
    """The file is no configuration, or this user may not read it."""
    AMBIGUOUS = "ambiguous"
    """The model is in two or more of the repositories."""
    NOT_HERE = "not here"
    """None of the repositories that are readable from here has the model."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The running configuration of one model against the one in its repository."""

    server: str
    model: str
    state: DriftState
    diff: tuple[FieldChange, ...] = ()
    """`before` is the file, `after` what runs."""
    path: str = ""
    """The file, "" where there is none."""
    text: str = ""
    """One sentence: what it means, or why nothing can be said."""
