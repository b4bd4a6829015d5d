"""The sources of one Triton server: the only place in `tritop` that names its collectors."""

from __future__ import annotations

from collections.abc import Sequence

from tritop.endpoint import Endpoint
from tritop.reading import Collector


def collectors_of(endpoint: Endpoint) -> Sequence[Collector]:
    """The collectors of one server, the API first: without it there is nothing to name."""
    from collectors.triton_api import TritonApi
    from collectors.triton_metrics import TritonMetrics

    api = TritonApi(endpoint, probe_control_mode=not endpoint.read_only)
    return (api, TritonMetrics(endpoint)) if endpoint.metrics_url else (api,)
