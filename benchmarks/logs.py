"""Measure whether a busy log slows the screen down.

Run `python -m benchmarks.logs`; the last line is a JSON list. On a pseudo-terminal of 160x70 the
log screen follows a file to which another process appends nothing, then 5000 lines a second;
Textual's own Log widget does the same. Measured is by how much the user interface's loop and the
sampling are late, at steady state.
"""

from __future__ import annotations

import json

from benchmarks.terminal import Outcome, run_side

SECONDS = 15.0
RATE = 5000
BUDGET_LATE_S = 0.1


def _measured(side: str, rate: int) -> Outcome:
    outcome = run_side(f"{side}:{rate}", 1.0, SECONDS, None, apps="benchmarks.log_apps")
    found = outcome.found
    print(
        f"{side:8} {rate:5} lines/s   screen late {found['screen_late_s']:6.3f} s   "
        f"sampling late {found['sampling_late_s']:6.3f} s   {outcome.kilobytes_per_s:7.2f} KB/s   "
        f"CPU {found['cpu_ratio'] * 100:5.1f} %   skipped {found['skipped_frames']:.0f}",
        flush=True,
    )
    return outcome


def main() -> None:
    quiet = _measured("tritop", 0)
    busy = _measured("tritop", RATE)
    textual = _measured("textual", RATE)
    results = [
        {
            "benchmark": f"logs_{what}",
            "value": round(busy.found[f"{what}_late_s"], 3),
            "unit": f"s late at {RATE} lines/s",
            "budget": BUDGET_LATE_S,
            "met": busy.found[f"{what}_late_s"] <= BUDGET_LATE_S,
            "quiet": round(quiet.found[f"{what}_late_s"], 3),
            "textual_log": round(textual.found[f"{what}_late_s"], 3),
        }
        for what in ("screen", "sampling")
    ]
    print(json.dumps(results))


if __name__ == "__main__":
    main()
