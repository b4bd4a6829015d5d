"""What the parent and the traffic process tell each other: JSON objects, one a line.

Down the child's stdin, so that no secret is ever an argument: first a `Setup`, then any number of
`{"aim": Aim}`, `{"endpoint": Endpoint}`, `{"measure": true}` and `{"conclude": true}`. The end of
stdin ends the child.
Up its stdout: `{"ready": true}` or `{"fault": Fault}` once, then a `{"report": Report}` four times
a second, and `{"result": Result}` for each `conclude`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tritop import errors
from tritop.endpoint import Endpoint, Tls
from tritop.errors import TritopError
from tritop.load.latencies import Figures
from tritop.load.schedule import Aim

Message = Mapping[str, Any]
"""One decoded line; both ends are ours, so its fields are not checked again."""

Errors = tuple[tuple[str, int], ...]
"""(kind, count)."""


DRAIN_S = 5.0
"""What is in flight when the traffic ends may take this long to come back.

A request that is cancelled in the moment it is answered can crash Triton before 25.04 (server issue
8034; on 2.51 seen once in 33,000 cancelled requests of 1 ms), so only slow ones are ever cancelled.
"""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the traffic process is to send, and where to."""

    endpoint: Endpoint
    model: str
    version: str = ""
    batch: int = 1
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """(input, dimensions without the batch) for inputs with dynamic dimensions."""
    input_path: str = ""
    """JSON file with requests; "" makes them up from the model's metadata."""
    timeout_s: float = 60.0
    """Deadline of one request."""
    max_in_flight: int = 1024
    drain_s: float = DRAIN_S

    @classmethod
    def from_message(cls, message: Message) -> Setup:
        """Undo `asdict` and JSON."""
        shapes = tuple((name, tuple(dims)) for name, dims in message["shapes"])
        return cls(**{**message, "endpoint": decode_endpoint(message["endpoint"]), "shapes": shapes})


@dataclass(frozen=True, slots=True)
class Report:
    """The state of the traffic at one instant."""

    aim: Aim
    window: Figures
    errors_by_kind: Errors
    """Since the start, or since the last `measure`."""
    in_flight: int
    settled: bool
    """Whether what was in flight when `aim` was set has come back: before, the window holds latencies of two aims."""
    late: int
    """Open loop: requests sent late because too many others waited, since the start."""
    cpu_ratio: float
    busy_ratio: float
    client_bound: bool

    @classmethod
    def from_message(cls, message: Message) -> Report:
        """Undo `asdict` and JSON."""
        return cls(
            **{
                **message,
                "aim": Aim(**message["aim"]),
                "window": Figures(**message["window"]),
                "errors_by_kind": _errors(message),
            }
        )


@dataclass(frozen=True, slots=True)
class Result:
    """Everything between `measure` and `conclude`."""

    total: Figures
    errors_by_kind: Errors
    unfinished: int
    """Requests in flight at the end: they are part of no other number."""
    late: int
    """Open loop: requests sent late because too many others waited."""
    cpu_ratio: float
    busy_ratio: float
    client_bound: bool

    @classmethod
    def from_message(cls, message: Message) -> Result:
        """Undo `asdict` and JSON."""
        return cls(**{**message, "total": Figures(**message["total"]), "errors_by_kind": _errors(message)})


def _errors(message: Message) -> Errors:
    return tuple((kind, count) for kind, count in message["errors_by_kind"])


def decode_endpoint(message: Message) -> Endpoint:
    """Undo `asdict` and JSON."""
    tls = Tls(**message["tls"]) if message["tls"] else None
    headers = tuple((name, value) for name, value in message["headers"])
    return Endpoint(**{**message, "tls": tls, "headers": headers, "repositories": tuple(message["repositories"])})


def encode(name: str, value: Setup | Aim | Endpoint | Report | Result | bool) -> bytes:
    """One line."""
    return json.dumps({name: value if isinstance(value, bool) else asdict(value)}).encode() + b"\n"


def encode_fault(error: TritopError) -> bytes:
    """One line with a `fault`, out of which `decode_fault` makes the same error again."""
    # A collector's own kind of error goes as the kind of `tritop.errors` that it is one of.
    kind = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    fault = {"type": kind, "sentence": error.sentence, "advice": error.advice}
    return json.dumps({"fault": fault}).encode() + b"\n"


def decode_fault(fault: Message) -> TritopError:
    """The error that the other process met, of the same type."""
    kind: type[TritopError] = getattr(errors, fault["type"])
    return kind(fault["sentence"], fault["advice"])
