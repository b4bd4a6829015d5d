"""The result of `tritop traffic` as one JSON object and as a table (pure)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tritop.cli.text import aligned, microseconds, number, printable, rate, ratio
from tritop.load.messages import Result
from tritop.load.schedule import Aim
from tritop.load.server_side import ServerMeans

_LATENCIES = ("mean", "p50", "p90", "p95", "p99", "p999", "max")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was asked for, what the client measured, and what the server says about it."""

    server: str
    endpoint: str
    model: str
    version: str
    aim: Aim
    result: Result
    means: ServerMeans | None
    means_fault: str
    """Why `means` is not known or not complete."""
    interrupted: bool

    @property
    def succeeded(self) -> bool:
        """Requests were answered, and none failed."""
        return self.result.total.requests > 0 and self.result.total.errors == 0

    def document(self) -> dict[str, object]:
        """One JSON object; unknown is `null`, latencies are in microseconds."""
        total, result = self.result.total, self.result
        ended = total.requests + total.errors
        return {
            "server": self.server,
            "endpoint": self.endpoint,
            "model": self.model,
            "version": self.version,
            "concurrency": self.aim.concurrency,
            "rate_per_s": self.aim.rate_per_s,
            "poisson": self.aim.poisson,
            "duration_s": total.seconds,
            "interrupted": self.interrupted,
            "requests": total.requests,
            "inferences": total.inferences,
            "errors": total.errors,
            "unfinished": result.unfinished,
            "late": result.late,
            "requests_per_s": _per_s(total.requests, total.seconds),
            "inferences_per_s": _per_s(total.inferences, total.seconds),
            "errors_per_s": _per_s(total.errors, total.seconds),
            "achieved_rate_per_s": _per_s(ended, total.seconds),
            "achieved_concurrency": self.achieved_concurrency,
            "errors_by_kind": dict(result.errors_by_kind),
            "latency_us": {name: getattr(total, f"{name}_us") for name in _LATENCIES},
            "client_cpu_ratio": result.cpu_ratio,
            "client_busy_ratio": result.busy_ratio,
            "client_bound": result.client_bound,
            "server_means": asdict(self.means) if self.means is not None else None,
            "server_means_fault": self.means_fault,
        }

    @property
    def achieved_concurrency(self) -> float | None:
        """Requests in flight on average: the sum of all latencies over the time (Little's law)."""
        total = self.result.total
        if total.mean_us is None or not total.seconds:
            return None
        return total.mean_us * total.requests / 1e6 / total.seconds

    def table(self) -> list[str]:
        """Lines for a terminal; texts of the server are made harmless."""
        total, result = self.result.total, self.result
        lines = [
            f"{printable(self.model)}{f' version {self.version}' if self.version else ''} at {self.endpoint}, "
            f"{_asked(self.aim)}, {total.seconds:.1f} s{' (interrupted)' if self.interrupted else ''}",
            "",
            *aligned(
                [
                    ("REQ/s", "INF/s", "ERR/s", *(name.upper() for name in _LATENCIES)),
                    (
                        rate(_per_s(total.requests, total.seconds)),
                        rate(_per_s(total.inferences, total.seconds)),
                        rate(_per_s(total.errors, total.seconds)),
                        *(microseconds(getattr(total, f"{name}_us")) for name in _LATENCIES),
                    ),
                ],
                right=[True] * 10,
            ),
            "",
            f"requests  {total.requests} answered, {total.errors} failed, {result.unfinished} unfinished at the end, "
            f"{number(self.achieved_concurrency, 1)} in flight on average",
        ]
        lines += [f"  {count} x {printable(kind)}" for kind, count in result.errors_by_kind]
        if result.late:
            lines.append(f"late      {result.late} requests were sent after their time: too many others waited")
        lines += [_server_line(self.means, self.means_fault), _client_line(result)]
        return lines


def _per_s(count: int, seconds: float) -> float | None:
    return count / seconds if seconds > 0 else None


def _asked(aim: Aim) -> str:
    if aim.concurrency is not None:
        return f"concurrency {aim.concurrency}"
    return f"{aim.rate_per_s:g} requests/s {'(Poisson)' if aim.poisson else '(constant)'}"


def _server_line(means: ServerMeans | None, fault: str) -> str:
    if means is None:
        return f"server    -- {printable(fault)}".rstrip()
    times = ", ".join(
        f"{name} {microseconds(value)}"
        for name, value in (
            ("request", means.request_us),
            ("queue", means.queue_us),
            ("compute input", means.compute_input_us),
            ("infer", means.compute_infer_us),
            ("output", means.compute_output_us),
        )
    )
    return f"server    {times}; batch {number(means.batch_avg, 2)}"


def _client_line(result: Result) -> str:
    line = f"client    {ratio(result.cpu_ratio)} of a core, busy {ratio(result.busy_ratio)} of the time"
    if result.client_bound:
        line += ": CLIENT-BOUND, the figures say more about the generator than about the server"
    return line
