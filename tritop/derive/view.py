"""What the sources of one server say in one round, each compared with what it said before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tritop.derive.catalogue import catalogue
from tritop.derive.exposition import Exposition, next_exposition
from tritop.derive.layout import Key
from tritop.derive.round import Round, ServerRound
from tritop.derive.sources import ABSENT, API, METRICS, Standing, newest, source_of, standing
from tritop.derive.statistics import Statistics, next_statistics
from tritop.model import Launch
from tritop.reading import ApiReading, IndexEntry, LaunchReading, MetricsReading, Reading


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The sources of one server, compared."""

    exposition: Exposition | None = None
    metrics: Standing = ABSENT
    api: ApiReading | None = None
    answered: Standing = ABSENT
    """How far `api` can be relied on."""
    listed: Standing = ABSENT
    """How far `catalogue` can be relied on."""
    counted: Standing = ABSENT
    """How far `statistics` can be relied on; they may be missing from a reading of the API."""
    statistics: Statistics | None = None
    index: ApiReading | None = None
    """The newest reading that has a repository index."""
    catalogue: Mapping[Key, IndexEntry] = field(default_factory=dict)
    """Every version that the index or the statistics list."""
    launch: Launch | None = None

    @property
    def frozen(self) -> bool:
        """The Prometheus counters stand still by configuration, so they count nothing."""
        return self.exposition is not None and self.exposition.frozen

    @property
    def held(self) -> bool:
        """Nothing is current: the last numbers are kept with their age."""
        return not (self.metrics.current or self.listed.current or self.counted.current)


def next_view(before: View, now: ServerRound, at: Round) -> View:
    """Compare every source of a server with the round before."""
    metrics_source, api_source = source_of(now, METRICS, MetricsReading), source_of(now, API, ApiReading)
    scrape, api, launch = newest(now, MetricsReading), newest(now, ApiReading), newest(now, LaunchReading)
    exposition, statistics, index = before.exposition, before.statistics, before.index
    if scrape is not None:
        exposition = next_exposition(exposition, scrape, metrics_source.period_s if metrics_source else at.interval_s)
    if api is not None:
        statistics = next_statistics(statistics, api, api_source.period_s if api_source else at.interval_s)
        index = api if api.index is not None else index
    entries = before.catalogue
    if statistics is not before.statistics or index is not before.index:
        entries = catalogue(
            index.index if index is not None else None,
            statistics.reading.statistics if statistics is not None else None,
        )
    api = api or before.api
    api_standing = standing(api_source, api, at)
    return View(
        exposition=exposition,
        metrics=standing(metrics_source, exposition.reading if exposition is not None else None, at),
        api=api,
        answered=api_standing,
        listed=_part(api_standing, index or api, at.mono),
        counted=_part(api_standing, statistics.reading if statistics is not None else None, at.mono),
        statistics=statistics,
        index=index,
        catalogue=entries,
        launch=launch.launch if launch is not None else None,
    )


def _part(whole: Standing, reading: Reading | None, mono: float) -> Standing:
    """How a part of the API stands that the newest answers may have lacked."""
    if reading is None or whole.mono is None:
        return ABSENT
    if reading.mono == whole.mono:
        return whole
    age_s = max(0.0, mono - reading.mono)
    current = whole.current and age_s <= whole.stale_s
    return replace(whole, current=current, usable=current and whole.usable, mono=reading.mono, age_s=age_s)
