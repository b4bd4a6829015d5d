"""Which policy explains what the index shows, whatever the configurations still say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.change import VersionChoice
from tritop.control.versions import policy_in_force, policy_of, ready_versions, versions_after
from tritop.reading import IndexEntry

ALL = VersionChoice(all=True)


def index(**states: str) -> tuple[IndexEntry, ...]:
    """Rows of model m: v1="READY", v2="UNAVAILABLE unloaded", ..."""
    rows = [("m", name[1:], *state.partition(" ")[::2]) for name, state in states.items()]
    return (*(IndexEntry(*row) for row in rows), IndexEntry("other", "7", "READY", ""), IndexEntry("never", "", "", ""))


GONE = "UNAVAILABLE unloaded"


@pytest.mark.parametrize(
    ("said", "shown", "holds"),
    [
        (ALL, index(v1="READY", v2="READY"), ALL),
        (ALL, index(v1=GONE, v2="READY"), VersionChoice(specific=(2,))),
        (ALL, index(v1="UNLOADING", v2="READY"), VersionChoice(specific=(2,))),
        (ALL, index(v1="UNAVAILABLE it broke", v2="READY"), ALL),
        (VersionChoice(latest=1), index(v1=GONE, v2="READY"), VersionChoice(latest=1)),
        (VersionChoice(latest=1), index(v1="READY", v2=GONE), VersionChoice(specific=(1,))),
        (VersionChoice(latest=1), index(v1="READY", v2="READY"), VersionChoice(specific=(1, 2))),
        (VersionChoice(latest=2), index(v1=GONE, v2="READY"), VersionChoice(specific=(2,))),
        (VersionChoice(specific=(1, 9)), index(v1="READY"), VersionChoice(specific=(1, 9))),
        (VersionChoice(specific=(1, 2)), index(v1="READY", v2=GONE), VersionChoice(specific=(1,))),
        (VersionChoice(specific=(1,)), index(v1="READY", v2="READY"), VersionChoice(specific=(1, 2))),
    ],
)
def test_a_stale_policy_is_seen_through(
    said: VersionChoice, shown: tuple[IndexEntry, ...], holds: VersionChoice
) -> None:
    assert policy_in_force([policy_of(said)], shown, "m") == policy_of(holds)


def test_the_first_policy_that_explains_it_holds() -> None:
    shown = index(v1=GONE, v2="READY")
    stale, fresh = policy_of(ALL), policy_of(VersionChoice(specific=(2,)))
    assert policy_in_force([stale, fresh], shown, "m") == fresh


states = st.sampled_from(["READY", GONE, "UNLOADING", "UNAVAILABLE it broke", "LOADING"])
choices = (
    st.just(ALL)
    | st.integers(1, 4).map(lambda number: VersionChoice(latest=number))
    | st.sets(st.integers(1, 5), min_size=1).map(lambda some: VersionChoice(specific=tuple(some)))
)


@given(st.dictionaries(st.integers(1, 5), states, min_size=1), choices)
def test_sending_the_policy_back_never_touches_what_is_served(shown: dict[int, str], said: VersionChoice) -> None:
    rows = index(**{f"v{version}": state for version, state in shown.items()})
    ready = ready_versions(rows, "m")
    policy = policy_in_force([policy_of(said)], rows, "m")
    served = versions_after(policy, ready)
    if served is not None:
        assert set(ready) <= set(served)
        dropped = {version for version, state in shown.items() if state in {GONE, "UNLOADING"}}
        assert not dropped & set(served)


def test_rows_without_a_version_number_are_no_versions() -> None:
    rows = (IndexEntry("m", "", "READY", ""), IndexEntry("m", "x", "READY", ""), IndexEntry("m", "3", "READY", ""))
    assert ready_versions(rows, "m") == (3,)
