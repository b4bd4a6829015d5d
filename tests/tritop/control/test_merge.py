"""An edit by field and what somebody else changed meanwhile are both had, or the edit is refused."""

from __future__ import annotations

import pytest

from tritop.change import ConfigEdit, VersionChoice
from tritop.control.edit import apply_edit, as_pbtxt, parse_config
from tritop.control.merge import is_reverted, made_since
from tritop.control.plan import plan
from tritop.control.situation import Situation
from tritop.model import InstanceGroup
from tritop.operation import EditConfig, LoadModel, ModelChange, SetVersions, UnloadModel
from tritop.reading import IndexEntry

SEEN = parse_config(
    'name: "m" backend: "python" max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 100 }'
    ' version_policy { all { } } instance_group { name: "m_0" count: 1 kind: KIND_CPU }'
)
INDEX = (IndexEntry("m", "1", "READY", ""), IndexEntry("m", "2", "READY", ""))
GROUPS = (InstanceGroup("m_0", "KIND_CPU", 1, ()), InstanceGroup("m_1", "KIND_CPU", 1, ()))
DELAY = ConfigEdit(max_queue_delay_us=500)


def after(theirs: ConfigEdit) -> Situation:
    return Situation("s", "m", INDEX, current=apply_edit(SEEN, theirs), changed_here=True)


def mine(edit: ConfigEdit, *, exactly: bool = False) -> EditConfig:
    return EditConfig("s", "m", edit, based_on=as_pbtxt(SEEN), exactly=exactly)


@pytest.mark.parametrize(
    ("edit", "theirs"),
    [
        (DELAY, ConfigEdit(max_batch_size=16)),
        (DELAY, ConfigEdit(instance_count=3)),
        (ConfigEdit(preferred_batch_sizes=(4,)), ConfigEdit(max_batch_size=16)),
        (ConfigEdit(max_batch_size=4), ConfigEdit(preferred_batch_sizes=(2, 4))),
        (DELAY, DELAY),
        (ConfigEdit(instance_count=2), ConfigEdit(batching=False)),
        (ConfigEdit(max_batch_size=16), ConfigEdit(max_queue_delay_us=5)),
        (ConfigEdit(versions=VersionChoice(specific=(1,))), DELAY),
        (ConfigEdit(versions=VersionChoice(specific=(1,))), ConfigEdit(versions=VersionChoice(specific=(1,)))),
    ],
)
def test_what_does_not_touch_it_stays(edit: ConfigEdit, theirs: ConfigEdit) -> None:
    situation = after(theirs)
    assert situation.current is not None
    planned = plan(mine(edit), situation)
    assert planned.preview.problems == ()
    assert planned.wanted == (None if planned.nothing else apply_edit(situation.current, edit))
    assert planned.preview.others == made_since(SEEN, situation.current) != ()
    assert "somebody else has changed" in planned.preview.warnings[0]


@pytest.mark.parametrize(
    ("edit", "theirs", "field"),
    [
        (DELAY, ConfigEdit(max_queue_delay_us=700), "max_queue_delay_microseconds: 100 -> 700"),
        (DELAY, ConfigEdit(batching=False), "dynamic batching of m is off"),
        (ConfigEdit(max_queue_delay_us=100), ConfigEdit(max_queue_delay_us=700), "seconds: 100 -> 700"),
        (ConfigEdit(batching=False), ConfigEdit(max_queue_delay_us=700), "max_queue_delay_microseconds: 100 -> 700"),
        (ConfigEdit(instance_count=2), ConfigEdit(instance_count=3), "instance_group[m_0].count: 1 -> 3"),
        (ConfigEdit(instance_groups=GROUPS), ConfigEdit(instance_count=3), "instance_group[m_0].count: 1 -> 3"),
        (ConfigEdit(max_batch_size=4), ConfigEdit(preferred_batch_sizes=(2, 8)), "8 is above"),
    ],
)
def test_what_touches_it_is_named_and_nothing_is_sent(edit: ConfigEdit, theirs: ConfigEdit, field: str) -> None:
    preview = plan(mine(edit), after(theirs)).preview
    assert not preview.sendable
    assert field in preview.obstacle


def test_a_whole_configuration_and_an_exact_edit_go_with_nothing_else() -> None:
    whole = ConfigEdit(pbtxt=as_pbtxt(apply_edit(SEEN, DELAY)))
    loads = LoadModel("s", "m", pbtxt=str(whole.pbtxt), based_on=as_pbtxt(SEEN))
    changes: tuple[ModelChange, ...] = (mine(whole), mine(DELAY, exactly=True), loads)
    for change in changes:
        assert "max_batch_size: 8 -> 16" in plan(change, after(ConfigEdit(max_batch_size=16))).preview.obstacle
        assert plan(change, after(ConfigEdit())).preview.obstacle == ""
    gone = Situation("s", "m", (IndexEntry("m", "1", "UNAVAILABLE", "unloaded"),))
    assert "unloaded m since" in plan(loads, gone).preview.obstacle


def test_one_version_more_or_less_goes_with_any_choice_of_versions() -> None:
    theirs = after(ConfigEdit(versions=VersionChoice(specific=(1, 2))))
    base = as_pbtxt(SEEN)
    assert plan(UnloadModel("s", "m", "2", based_on=base), theirs).preview.obstacle == ""
    assert plan(LoadModel("s", "m", "3", based_on=base), theirs).preview.obstacle == ""
    chosen = SetVersions("s", "m", VersionChoice(latest=1), based_on=base)
    assert "version_policy" in plan(chosen, theirs).preview.obstacle


def test_a_change_that_was_undone_on_purpose_is_told_from_one_that_was_overwritten() -> None:
    delay = made_since(SEEN, apply_edit(SEEN, DELAY))
    assert is_reverted(delay, SEEN, apply_edit(SEEN, ConfigEdit(max_batch_size=16)))
    assert not is_reverted(delay, SEEN, SEEN), "an undo restores everything"
    assert not is_reverted(delay, SEEN, apply_edit(SEEN, DELAY))
    assert not is_reverted(delay, SEEN, apply_edit(SEEN, ConfigEdit(max_queue_delay_us=7))), "that is another value"
