"""Run every benchmark, one after another, and print one table of what was met and what was not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

NAMES = (
    "parse",
    "derive",
    "startup",
    "terminal",
    "logs",
    "batching",
    "traffic",
    "live_edit",
    "perturbation",
    "overhead",
    "gpus",
)


def run(name: str) -> list[dict[str, object]]:
    """One benchmark; its talk goes to stderr, its result is the last line of its output."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True, check=False)
    print(f"----- {name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    lines = done.stdout.strip().splitlines()
    if done.returncode and not lines:
        return [{"benchmark": name, "value": None, "unit": f"failed with {done.returncode}", "met": False}]
    result = json.loads(lines[-1])
    return result if isinstance(result, list) else [result]


def main() -> int:
    here = Path(__file__).parent
    asked = sys.argv[1:] or [name for name in NAMES if (here / f"{name}.py").exists()]
    results = [entry for name in asked for entry in run(name)]
    for entry in results:
        met = "met    " if entry["met"] else "NOT MET"
        budget = f"budget {entry.get('budget')}"
        print(f"{met} {entry['benchmark']!s:<40} {entry['value']!s:>10} {entry['unit']}, {budget}", file=sys.stderr)
    print(json.dumps(results))
    return 0 if all(entry["met"] for entry in results) else 1


if __name__ == "__main__":
    sys.exit(main())
