"""The metrics of one Triton: GET of its metrics port, read into Series and values."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from collectors.exposition import MAX_SERIES, ExpositionReader
from collectors.http_connection import METRICS_PORT_ADVICE, Answer, HttpConnection
from tritop.endpoint import Endpoint
from tritop.errors import AccessDenied, NotTriton, ReadError, Unavailable, Unreachable
from tritop.reading import Layout, MetricsReading

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Default bound on an exposition; 1000 models with summaries make 5 MB."""
_TRITON_PREFIX = "nv_"
"""Begins every family of Triton itself. Families of backends and models (`vllm:...`) come in
addition: they need a loaded model, and a loaded model has `nv_inference_...`."""


class TritonMetrics:
    """Collector of the metrics port. Belongs to one event loop; one `read` at a time.

    No header of the endpoint is sent: they are credentials for the inference ports, and Triton
    protects its metrics port by none (`--http-restricted-api` does not cover it).

    Args:
        endpoint: the server; `metrics_url` says where.
        clock: gives wall time [s since the epoch].
        monotonic: gives monotonic time [s].
        timeout_s: bound on one scrape, from name resolution to the last byte.
        max_body_bytes: a larger exposition is `Garbled`.
        max_series: series beyond it are left out and counted in `MetricsReading.dropped_series`:
            a server of that size is better shown in part than not at all.

    Raises:
        UsageError: the metrics URL cannot be used.
    """

    name = "metrics"
    period_s: float | None = None

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        timeout_s: float = 2.0,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_series: int = MAX_SERIES,
    ) -> None:
        self._endpoint_name = endpoint.name
        self._timeout_s = timeout_s
        self._connection: HttpConnection | None = None
        if endpoint.metrics_url:
            self._connection = HttpConnection(
                endpoint.metrics_url,
                ca_path=endpoint.tls.ca_path if endpoint.tls else "",
                max_body_bytes=max_body_bytes,
                clock=clock,
                monotonic=monotonic,
            )
        self._reader = ExpositionReader(
            source=self._connection.address if self._connection else "", max_series=max_series
        )
        self._accepted: Layout | None = None

    async def read(self) -> MetricsReading:
        """Scrape once. The time stamps are those of the arrival of the answer's head.

        An exposition without any series is a good answer: a Triton without models may give it.

        Raises:
            Unreachable: nobody answers at the address, or a proxy says so.
            TimedOut: the connection stands and the answer was not complete in time.
            NotTriton: no HTTP, HTML, another status than 200, or metrics of something else.
            AccessDenied: TLS or credentials are in the way.
            Garbled: cut off, too large, not UTF-8 or not Prometheus text.
            Unavailable: the endpoint has no metrics URL, or the server says it has no metrics.
        """
        if self._connection is None:
            raise Unavailable(f"{self._endpoint_name} has no metrics URL.", "Give one with --metrics-url.")
        address = self._connection.address
        answer = await self._connection.get(self._timeout_s)
        if answer.status != HTTPStatus.OK:
            raise _refusal(address, answer)
        if answer.content_type in ("text/html", "application/json") or answer.body.lstrip()[:1] == b"<":
            kind = answer.content_type or "HTML"
            raise NotTriton(f"{address} answers with {kind[:40]}, not with metrics.", METRICS_PORT_ADVICE)
        if not answer.body and not address.rstrip("/").endswith("/metrics"):
            # Triton's metrics port answers 200 with nothing for every path that it does not know.
            raise NotTriton(f"{address} answers with nothing.", METRICS_PORT_ADVICE)
        layout, values = self._reader.read(answer.body)
        if layout is not self._accepted:
            _refuse_metrics_of_others(address, layout)
            self._accepted = layout
        return MetricsReading(
            at=answer.at,
            mono=answer.mono,
            layout=layout,
            values=values,
            body_bytes=len(answer.body),
            dropped_series=self._reader.dropped_series,
        )

    async def aclose(self) -> None:
        """Close the connection; never raises."""
        if self._connection is not None:
            await self._connection.aclose()


def _refuse_metrics_of_others(address: str, layout: Layout) -> None:
    families = [series.family for series in layout.series]
    if families and not any(family.startswith(_TRITON_PREFIX) for family in families):
        raise NotTriton(
            f"{address} serves metrics, but none of Triton's: they begin with {families[0][:60]!r}.",
            METRICS_PORT_ADVICE,
        )


def _refusal(address: str, answer: Answer) -> ReadError:
    """Say what an answer other than 200 means for somebody who wants metrics."""
    status = answer.status
    try:
        said = f"{address} answers {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"{address} answers {status}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED):
        return AccessDenied(f"{said}.", "Let this host read the metrics without credentials: Triton asks for none.")
    if 300 <= status < 400:
        where = f" to {answer.location[:200]!r}" if answer.location else ""
        return NotTriton(f"{said}{where}.", "Redirects are not followed: give the URL that serves the metrics.")
    if status == HTTPStatus.BAD_REQUEST and b"HTTPS" in answer.body[:4096]:
        return AccessDenied(f"{said}: it expects TLS.", "Use https:// for it.")
    if status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT):
        return Unreachable(f"{said}: nobody answers behind that proxy.", "Check that Triton runs.")
    if status in (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.SERVICE_UNAVAILABLE):
        return Unavailable(f"{said}.", "Check that Triton was built and started with metrics (--allow-metrics).")
    return NotTriton(f"{said}.", METRICS_PORT_ADVICE)
