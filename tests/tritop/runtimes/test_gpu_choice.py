"""GPUs that were asked for by index become UUIDs."""

from __future__ import annotations

import pytest

from tritop.errors import UsageError
from tritop.runtimes.gpu_choice import gpus_by_uuid

KNOWN = {0: "GPU-a", 1: "GPU-b"}


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (("1", "0"), ("GPU-b", "GPU-a")),
        (("GPU-x", "1"), ("GPU-x", "GPU-b")),
        (("MIG-1",), ("MIG-1",)),
        (("all",), ("all",)),
        ((), ()),
    ],
)
def test_indices_become_uuids(asked: tuple[str, ...], given: tuple[str, ...]) -> None:
    assert gpus_by_uuid(asked, KNOWN) == given


@pytest.mark.parametrize(("known", "advice"), [(KNOWN, "0 is GPU-a, 1 is GPU-b."), ({}, "It has none.")])
def test_an_index_that_no_gpu_has(known: dict[int, str], advice: str) -> None:
    with pytest.raises(UsageError) as raised:
        gpus_by_uuid(("7",), known)
    assert (raised.value.sentence, raised.value.advice) == ("there is no GPU 7 on this host.", advice)
