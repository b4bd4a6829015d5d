"""Operations: what the operator asked for. Their progress comes back in the next Snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tritop.change import ConfigEdit, Preview, VersionChoice
from tritop.server_spec import ServerSpec
from tritop.trial import DEFAULT_RAILS, Rails


@dataclass(frozen=True, slots=True)
class SetTraffic:
    """Start, steer or stop our own traffic to a model.

    Exactly one of `concurrency` and `rate_per_s` is set, or neither, which stops the traffic.
    """

    server: str
    model: str
    version: str = ""
    concurrency: int | None = None
    rate_per_s: float | None = None
    poisson: bool = False


@dataclass(frozen=True, slots=True)
class SetInterval:
    """Read the sources every `interval_s` seconds from now on."""

    interval_s: float


@dataclass(frozen=True, slots=True)
class ReadNow:
    """Read every source at once, back-off or not."""


@dataclass(frozen=True, slots=True)
class ReadPcie:
    """Read the PCIe throughput of the GPUs from now on, or no more: each reading takes 40 ms of the driver's time."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Load a model, or add one version to those that it serves."""

    server: str
    model: str
    version: str = ""
    """"" leaves the choice to the version policy."""
    pbtxt: str = ""
    """A whole configuration as text or JSON to load it with; "" takes the repository's."""
    confirmed_losses: tuple[str, ...] = ()
    """See `EditConfig`; only for a model that is loaded already."""
    based_on: str = ""
    """See `EditConfig`."""


@dataclass(frozen=True, slots=True)
class UnloadModel:
    """Unload a model, or take one version out of those that it serves."""

    server: str
    model: str
    version: str = ""
    based_on: str = ""
    """See `EditConfig`; only for one version."""


@dataclass(frozen=True, slots=True)
class ReloadModel:
    """Let the server look for newer files of a model; requests go on being served meanwhile."""

    server: str
    model: str


@dataclass(frozen=True, slots=True)
class SetVersions:
    """Choose the versions that a model serves; versions in both choices are not touched."""

    server: str
    model: str
    versions: VersionChoice
    based_on: str = ""
    """See `EditConfig`."""


@dataclass(frozen=True, slots=True)
class EditConfig:
    """Change the configuration of a loaded model."""

    server: str
    model: str
    edit: ConfigEdit
    trial_s: float | None = None
    """Take the change back by itself after so many seconds, unless it is kept; `None` keeps it."""
    rails: Rails = DEFAULT_RAILS
    """What else takes it back, for a trial."""
    confirmed_losses: tuple[str, ...] = ()
    """Fields of `Preview.lost_fields` that the operator gave up by name; any other one stops it."""
    based_on: str = ""
    """The configuration that the operator saw (`Preview.pbtxt_before`). What somebody else changed since
    stays where the edit is by field and does not touch it, and otherwise the edit is refused. "" applies
    the edit to whatever the model has by then."""
    exactly: bool = False
    """Refuse the edit after any change by somebody else."""


ModelChange = LoadModel | UnloadModel | ReloadModel | SetVersions | EditConfig
"""What changes a model of a running server; carried out by `tritop.control.control.Control`."""


@dataclass(frozen=True, slots=True)
class PreviewEdit:
    """Ask what an edit would do. Its answer is `OperationStatus.result`; nothing is changed."""

    server: str
    model: str
    edit: ConfigEdit


@dataclass(frozen=True, slots=True)
class PreviewChange:
    """Ask what any other change of a model would do, as `PreviewEdit` does for an edit."""

    change: ModelChange
    count_sequences: bool = False
    """Where live sequences would be lost, count them first. That takes as long as one of them may be idle, and the
    server logs every request meanwhile."""

    @property
    def server(self) -> str:
        """The server that the change is for."""
        return self.change.server

    @property
    def model(self) -> str:
        """The model that the change is for."""
        return self.change.model


@dataclass(frozen=True, slots=True)
class KeepTrial:
    """Keep the change of a trial."""

    server: str
    trial_id: str


@dataclass(frozen=True, slots=True)
class TakeBackTrial:
    """Take the change of a trial back, also of one that was found in the ledger."""

    server: str
    trial_id: str
    confirmed: bool = False
    """Also where somebody else changed the model since."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Take back the last change that can be taken back; an open trial is one."""

    server: str
    model: str = ""
    """"" is any model."""
    confirmed: bool = False
    """Also where somebody else changed the model since."""


@dataclass(frozen=True, slots=True)
class SaveConfig:
    """Write what runs into the `config.pbtxt` of the model, keeping the rest of the file as it is."""

    server: str
    model: str


class Wish(StrEnum):
    """What an operator asks for."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    REMOVE = "remove"
    """Stop it and remove its container, its log with it."""

    @property
    def done(self) -> str:
        """What became of a server of which this was asked."""
        return _DONE[self]


_DONE = {Wish.START: "started", Wish.STOP: "stopped", Wish.RESTART: "restarted", Wish.REMOVE: "removed"}


@dataclass(frozen=True, slots=True)
class SteerServer:
    """Start, stop, restart or remove a server that runs in a container or that this tritop runs."""

    server: str
    wish: Wish
    confirmed: bool = False
    """The operator was told that tritop did not make its container, and means it. Without it such a
    container is never touched."""
    container_id: str = ""
    """The container that the operator saw: another one of its name is not meant. "" for one without."""


@dataclass(frozen=True, slots=True)
class PreviewLaunch:
    """Ask what a launch would do and what is in its way; its answer is a `LaunchPreview`. Nothing is changed."""

    spec: ServerSpec


@dataclass(frozen=True, slots=True)
class LaunchServer:
    """Run a new server in a container, supervised from now on."""

    spec: ServerSpec

    @property
    def server(self) -> str:
        """The server that it will be."""
        return self.spec.name


@dataclass(frozen=True, slots=True)
class LaunchPreview:
    """What a launch would do."""

    command: str
    """The `docker run` line that does the same."""
    obstacle: str = ""
    """Why it cannot be launched, with what to do about it; "" where nothing is known to be in the way."""
    notes: tuple[str, ...] = ()
    """Sentences: that the image is pulled first, how much disk is free, that no GPU is there, ..."""


ServerOperation = SteerServer | PreviewLaunch | LaunchServer
"""What needs the runtime of a server; carried out by `tritop.live.servers`."""

RecordedOperation = KeepTrial | TakeBackTrial | Undo | SaveConfig
"""What needs the ledger or the repository beside the server."""

ModelOperation = ModelChange | PreviewEdit | PreviewChange

Operation = SetTraffic | SetInterval | ReadNow | ReadPcie | ModelOperation | RecordedOperation | ServerOperation


class OperationState(StrEnum):
    """How far an operation is."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class OperationStatus:
    """One operation and what became of it."""

    number: int
    """Counts up from 1 within a session."""
    operation: Operation
    state: OperationState
    started_at: float
    """Wall time [s since the epoch]."""
    finished_at: float | None = None
    text: str = ""
    """Progress while it runs, the outcome or the error once it ended; untrusted."""
    result: Preview | LaunchPreview | None = None
    """What was found out, for an operation that asks for a preview or that changed something."""
