"""GPUs by UUID: an index is another GPU after the next change of the hardware. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tritop.errors import UsageError


def gpus_by_uuid(asked: Sequence[str], known: Mapping[int, str]) -> tuple[str, ...]:
    """What was asked for, with the UUID in place of each index.

    Args:
        asked: as in `ServerSpec.gpus`.
        known: the UUID of each GPU of this host by its index in NVML, which is the one that NVIDIA's
            container toolkit counts by.

    Raises:
        UsageError: there is no GPU with such an index.
    """
    missing = [gpu for gpu in asked if gpu.isdecimal() and int(gpu) not in known]
    if missing:
        there = ", ".join(f"{index} is {uuid}" for index, uuid in sorted(known.items()))
        raise UsageError(f"there is no GPU {missing[0]} on this host.", f"{there or 'It has none'}.")
    return tuple(known[int(gpu)] if gpu.isdecimal() else gpu for gpu in asked)
