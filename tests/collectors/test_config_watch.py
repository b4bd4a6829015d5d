"""Which configurations are asked for, and when."""

from __future__ import annotations

from collectors.config_watch import MAX_CHANGED_PER_READ, MAX_ROTATED_PER_READ, ROTATION_S, ConfigWatch
from tritop.model import ModelConfig
from tritop.reading import IndexEntry, VersionStatistics


def ready(*names: str) -> tuple[IndexEntry, ...]:
    return tuple(IndexEntry(name, "1", "READY", "") for name in names)


def rows(*names: str) -> tuple[VersionStatistics, ...]:
    return tuple(VersionStatistics(name, "1") for name in names)


def keys(*names: str) -> list[tuple[str, str]]:
    return [(name, "1") for name in names]


def test_new_versions_are_due_ready_ones_first() -> None:
    watch = ConfigWatch()
    index = (IndexEntry("broken", "1", "UNAVAILABLE", "x"), IndexEntry("never", "", "", ""), *ready("a"))
    watch.observe(index, rows("override", "a"), ())
    assert watch.due(0.0) == keys("a", "override")
    assert watch.due(0.1) == []


def test_what_makes_a_version_due_again() -> None:
    watch = ConfigWatch()
    watch.observe(ready("a", "b", "c"), rows("a", "b", "c"), ())
    watch.due(0.0)
    watch.observe(ready("a", "b", "c"), rows("a", "b", "c"), {("a", "1")})
    assert watch.due(1.0) == keys("a")
    failed_update = (*ready("a"), IndexEntry("b", "1", "READY", "invalid gpu id"), *ready("c"))
    watch.observe(failed_update, rows("a", "b", "c"), ())
    assert watch.due(2.0) == keys("b")
    watch.observe(failed_update, rows("a", "b", "c"), ())
    assert watch.due(3.0) == []


def test_rotation_asks_for_the_oldest_first() -> None:
    watch = ConfigWatch()
    names = [f"m{number:02d}" for number in range(40)]
    watch.observe(ready(*names), rows(*names), ())
    assert len(watch.due(0.0)) == 40
    asked = []
    for step in range(3):
        watch.observe(ready(*names), rows(*names), ())
        batch = watch.due(ROTATION_S + step)
        assert len(batch) <= MAX_ROTATED_PER_READ
        asked += batch
    assert asked == keys(*names)


def test_a_change_goes_before_the_rotation() -> None:
    watch = ConfigWatch()
    watch.observe(ready("a", "b"), rows("a", "b"), ())
    watch.due(0.0)
    watch.observe(ready("a", "b"), rows("a", "b"), {("b", "1")})
    assert watch.due(ROTATION_S + 1.0) == keys("b")
    assert watch.due(ROTATION_S + 2.0) == keys("a")


def test_many_new_versions_are_spread_over_reads() -> None:
    watch = ConfigWatch()
    names = [f"m{number:04d}" for number in range(1000)]
    watch.observe(ready(*names), rows(*names), ())
    sizes = [len(watch.due(float(step))) for step in range(4)]
    assert sizes == [MAX_CHANGED_PER_READ] * 4
    assert len(watch.due(4.0, at_most=1)) == 1


def test_configurations_change_identity_only_with_their_content() -> None:
    watch = ConfigWatch()
    watch.observe(ready("a"), rows("a"), ())
    watch.learn({("a", "1"): (b"raw", ModelConfig(backend="python"))})
    first = watch.configs
    assert not watch.is_news(("a", "1"), b"raw")
    assert watch.is_news(("a", "1"), b"war")
    watch.learn({("a", "1"): (b"war", ModelConfig(backend="python"))})
    watch.learn({})
    assert watch.configs is first
    watch.learn({("a", "1"): (b"new", ModelConfig(backend="onnxruntime"))})
    assert watch.configs[("a", "1")].backend == "onnxruntime"
    assert first[("a", "1")].backend == "python"


def test_an_unloaded_version_is_forgotten_and_an_unloading_one_is_not() -> None:
    watch = ConfigWatch()
    watch.observe(ready("a", "b"), rows("a", "b"), ())
    watch.due(0.0)
    watch.learn({key: (b"", ModelConfig()) for key in keys("a", "b")})
    watch.observe((IndexEntry("a", "1", "UNLOADING", ""), *ready("b")), rows("b"), ())
    assert set(watch.configs) == set(keys("a", "b"))
    watch.observe((IndexEntry("a", "1", "UNAVAILABLE", "unloaded"), *ready("b")), rows("b"), ())
    assert set(watch.configs) == set(keys("b"))
    watch.observe(ready("a", "b"), rows("a", "b"), ())
    assert watch.due(1.0) == keys("a")


def test_a_part_that_was_not_read_forgets_nothing() -> None:
    watch = ConfigWatch()
    watch.observe(ready("a"), rows("a", "override"), ())
    watch.due(0.0)
    watch.learn({key: (b"", ModelConfig()) for key in keys("a", "override")})
    known = watch.configs
    watch.observe(ready("a"), None, ())
    watch.observe(None, rows("a", "override"), ())
    assert watch.configs is known
    assert watch.due(1.0) == []


def test_after_a_lost_connection_everything_is_due_and_still_known() -> None:
    watch = ConfigWatch()
    watch.observe(ready("a"), rows("a"), ())
    watch.due(0.0)
    watch.learn({("a", "1"): (b"", ModelConfig())})
    watch.expire()
    assert set(watch.configs) == set(keys("a"))
    assert watch.due(1.0) == keys("a")
