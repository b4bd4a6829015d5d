"""The Snapshot: everything the operator sees at one instant, as frozen values.

Unknown is `None`, never 0. Names carry their units. Nothing here holds a colour, a display
text or a clock. Texts that came from a server (names, reasons) are untrusted: whoever draws
them removes control characters first.
"""

from tritop.model.containers import (
    Container,
)
from tritop.model.gpus import (
    Gpu,
    GpuProcess,
    MigDevice,
    Xid,
)
from tritop.model.models import (
    BatchSize,
    InstanceGroup,
    ModelConfig,
    ModelState,
    ModelVersion,
    Origin,
    Quantile,
    Scheduling,
    TensorSpec,
    Verdict,
    VerdictKind,
)
from tritop.model.servers import (
    ControlMode,
    CustomSample,
    ImageLayer,
    Launch,
    Processes,
    Server,
    ServerState,
)
from tritop.model.snapshot import (
    EMPTY_SNAPSHOT,
    Event,
    EventKind,
    Snapshot,
)
from tritop.model.sources import (
    RUNTIME_SOURCE,
    Fault,
    Source,
    SourceState,
)
from tritop.model.traffic import (
    Traffic,
    TrafficState,
)

__all__ = [
    "EMPTY_SNAPSHOT",
    "RUNTIME_SOURCE",
    "BatchSize",
    "Container",
    "ControlMode",
    "CustomSample",
    "Event",
    "EventKind",
    "Fault",
    "Gpu",
    "GpuProcess",
    "ImageLayer",
    "InstanceGroup",
    "Launch",
    "MigDevice",
    "ModelConfig",
    "ModelState",
    "ModelVersion",
    "Origin",
    "Processes",
    "Quantile",
    "Scheduling",
    "Server",
    "ServerState",
    "Snapshot",
    "Source",
    "SourceState",
    "TensorSpec",
    "Traffic",
    "TrafficState",
    "Verdict",
    "VerdictKind",
    "Xid",
]
