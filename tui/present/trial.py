"""A trial as a card: how long it goes on, before and after side by side, the rails and what can be done."""

from __future__ import annotations

from collections.abc import Callable

from tritop.model import Snapshot
from tritop.trial import Figures, RailState, RailStatus, TrialState, TrialStatus
from tui.draw import bar
from tui.format import age_s, batch, count, duration_s, fit, latency_us, percent, rate
from tui.present.change import diff_lines
from tui.present.lines import beside, wrapped
from tui.present.look import Look
from tui.widgets.lines import Line

__all__ = ["TRIAL_TONES", "open_trials", "trial_lines", "trial_page", "trial_panel"]

TRIAL_TONES = {
    TrialState.BEFORE: "accent",
    TrialState.APPLYING: "accent",
    TrialState.WATCHING: "accent",
    TrialState.TAKING_BACK: "warn",
    TrialState.KEPT: "ok",
    TrialState.TAKEN_BACK: "warn",
    TrialState.FAILED: "error",
    TrialState.STUCK: "error",
    TrialState.LEFT_OPEN: "error",
}
_RAIL_TONES = {RailState.HELD: "ok", RailState.CROSSED: "error"}
LABEL, CELL, GAUGE = 14, 12, 20

_ROWS: tuple[tuple[str, Callable[[Figures], float | None], Callable[[float | None], str], int], ...] = (
    ("requests/s", lambda one: one.requests_per_s, rate, 1),
    ("average batch", lambda one: one.batch_avg, batch, 0),
    ("queue", lambda one: one.queue_us, latency_us, -1),
    ("compute", lambda one: one.compute_us, latency_us, 0),
    ("p99", lambda one: one.p99_us, latency_us, -1),
    ("BUSY", lambda one: one.busy_ratio, percent, 0),
    ("failures/s", lambda one: one.failures_per_s, rate, -1),
    ("our errors/s", lambda one: one.client_errors_per_s, rate, -1),
)
"""(label, value, how it is written, 1 where more is better, -1 where less is)."""

_RAILS: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "failure_ratio": ("failed requests", percent),
    "queue_us": ("queue", latency_us),
    "p99_us": ("p99", latency_us),
    "client_errors_per_s": ("our errors/s", rate),
    "stalled_s": ("no answer for", duration_s),
}


def trial_lines(trial: TrialStatus, now: float, width: int, look: Look) -> list[Line]:
    """The card.

    Args:
        trial: what is known.
        now: wall time [s since the epoch].
        width: cells.
        look: characters to draw with.
    """
    tone = TRIAL_TONES.get(trial.state, "")
    head: list[tuple[str, str]] = [(f"TRIAL of {look.clean(trial.model, 60)}  ", "title"), (str(trial.state), tone)]
    if trial.ends_in_s is not None and trial.trial_s > 0:
        left = max(0.0, min(1.0, trial.ends_in_s / trial.trial_s))
        signs = look.glyphs
        head.append((f"  {signs.bar_left}{bar(left, GAUGE, ascii=look.ascii)}{signs.bar_right}", "graph"))
        head.append((f" {age_s(trial.ends_in_s)} left", tone))
    who = f"by {look.clean(trial.who, 60)}, " if trial.who else ""
    lines: list[Line] = [tuple(head), ((f"{who}begun {age_s(max(0.0, now - trial.began_at))} ago", "dim"),)]
    if trial.text:
        lines += wrapped(look.clean(trial.text, 800), width, tone)
    lines += diff_lines(trial.diff, width, look)
    if trial.before.window_s or trial.after.window_s:
        lines += [(), *_figures(trial, look)]
    if trial.rails:
        lines += [(), *(_rail_line(rail, look) for rail in trial.rails)]
    lines += _advice(trial, width)
    return lines


def trial_panel(trial: TrialStatus, now: float, width: int, look: Look) -> list[Line]:
    """The card for the foot of the overview: before and after on the left, rails and keys beside them."""
    left, right = 56, max(20, width - 60)
    body: list[Line] = [*diff_lines(trial.diff, right, look), *(_rail_line(rail, look) for rail in trial.rails)]
    if trial.text:
        body += wrapped(look.clean(trial.text, 400), right, TRIAL_TONES.get(trial.state, ""))
    head = trial_lines(trial, now, width, look)[0]
    return [head, *beside([_figures(trial, look), [*body, *_advice(trial, right)]], [left, right], ascii=look.ascii)]


def _figures(trial: TrialStatus, look: Look) -> list[Line]:
    """Before and after, each with its window."""
    windows = [duration_s(one.window_s) if one.window_s else "" for one in (trial.before, trial.after)]
    lines: list[Line] = [
        ((f"{'':{LABEL}}{'before':>{CELL}}{'after':>{CELL}}", "title"),),
        ((f"{'over':{LABEL}}{windows[0]:>{CELL}}{windows[1]:>{CELL}}", "dim"),),
    ]
    for label, value, text, better in _ROWS:
        before, after = value(trial.before), value(trial.after)
        if before is None and after is None:
            continue
        cells = f"{text(before):>{CELL}}{text(after):>{CELL}}"
        lines.append(((fit(label, LABEL), "dim"), (cells, ""), _change(before, after, better, look)))
    origins = {one.p99_origin for one in (trial.before, trial.after) if one.p99_origin}
    if len(origins) > 1:
        lines.append((("the two p99 are of different sources and cannot be compared", "dim"),))
    return lines


def _change(before: float | None, after: float | None, better: int, look: Look) -> tuple[str, str]:
    """`×3.1` with the tone of good or bad, from a tenth of difference on."""
    if before is None or after is None or before <= 0:
        return ("", "")
    factor = after / before
    tone = ""
    if better and not 0.9 <= factor <= 1.1:
        tone = "ok" if (factor > 1) == (better > 0) else "warn"
    return (f"   {look.glyphs.times}{factor:.2f}" if factor < 100 else f"   {look.glyphs.times}{count(factor)}", tone)


def _rail_line(rail: RailStatus, look: Look) -> Line:
    label, text = _RAILS.get(rail.name, (look.clean(rail.name.replace("_", " "), LABEL), rate))
    tone = _RAIL_TONES.get(rail.state, "dim")
    sign = {"ok": look.glyphs.ready, "error": look.glyphs.failed}.get(tone, look.glyphs.unloaded)
    values = f"{text(rail.after)}, at most {text(rail.limit)}" if rail.limit is not None else ""
    return ((f"{sign} {fit(label, LABEL + 2)} ", tone), (f"{rail.state}  ", tone), (values, "dim"))


def _advice(trial: TrialStatus, width: int) -> list[Line]:
    if trial.state is TrialState.WATCHING:
        judged = [] if trial.judged else wrapped("Not enough traffic to judge so far.", width, "warn")
        return [*judged, (("K", "key"), (" keep it  ", "dim"), ("Z", "key"), (" take it back now", "dim"))]
    if trial.open:
        said = "The model still runs with the configuration on trial."
        keys: Line = (("Z", "key"), (" take it back  ", "dim"), ("K", "key"), (" keep it", "dim"))
        return [*wrapped(said, width, "warn"), keys]
    return []


def open_trials(snapshot: Snapshot) -> list[TrialStatus]:
    """Trials that are under way or wait for somebody, newest first."""
    over = (TrialState.KEPT, TrialState.TAKEN_BACK, TrialState.FAILED)
    return sorted((one for one in snapshot.trials if one.state not in over), key=lambda one: -one.began_at)


def trial_page(snapshot: Snapshot, width: int, look: Look) -> list[Line]:
    """Every trial that is known: those that wait first, then those that ended, newest first."""
    waiting = open_trials(snapshot)
    ended = sorted((one for one in snapshot.trials if one not in waiting), key=lambda one: -one.began_at)
    lines: list[Line] = []
    for trial in (*waiting, *ended):
        lines += [*trial_lines(trial, snapshot.at, width, look), ()]
    return lines
