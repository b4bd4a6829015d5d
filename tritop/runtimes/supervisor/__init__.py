"""The supervisor: what is wanted and what is seen lead to what is done. Pure: no engine, no clock.

`words` holds the values, `machine.step` is the one way in, `ends` and `health` are two parts of it.
"""

from tritop.operation import Wish
from tritop.runtimes.supervisor.machine import step
from tritop.runtimes.supervisor.words import (
    Action,
    Asked,
    Container,
    Desired,
    Do,
    Ending,
    EndingKind,
    Finished,
    Health,
    Input,
    Observed,
    Phase,
    Policy,
    Status,
    Supervision,
)

__all__ = [
    "Action",
    "Asked",
    "Container",
    "Desired",
    "Do",
    "Ending",
    "EndingKind",
    "Finished",
    "Health",
    "Input",
    "Observed",
    "Phase",
    "Policy",
    "Status",
    "Supervision",
    "Wish",
    "step",
]
