"""One container with Triton in it, as the engine shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Container:
    """One container. Its texts are the engine's and its users': untrusted."""

    id: str
    """All 64 hexadecimal digits."""
    name: str
    image: str
    status: str
    """`State.Status` in the engine's words: created, running, paused, restarting, exited, removing or dead."""
    managed: bool = False
    """tritop made it."""
    ours: bool = False
    """This operator made it with tritop: it may be acted on without asking whose it is."""
    owner: str = ""
    """user@host that made it with tritop, "" for one that tritop did not make."""
    created_at: float | None = None
    """Wall time [s since the epoch], as the other two."""
    started_at: float | None = None
    """For one that runs."""
    finished_at: float | None = None
    """For one that does not run any more."""
    exit_code: int | None = None
    """Of its last run, for one that does not run."""
    crashed: bool = False
    """It does not run, and not because it was asked to end."""
    explanation: str = ""
    """Why it does not run, or cannot be watched, in a sentence; "" where there is nothing to explain."""
    engine_restarts: int = 0
    """How often the engine itself restarted it."""
    ports: tuple[tuple[int, str], ...] = ()
    """(port inside, address:port on the engine's host) of its published TCP ports."""
    networks: tuple[str, ...] = ()
    gpus: str = ""
    """GPUs that it asked for: "all", a count, or ids with commas between; "" for none."""
    cpu_cores: float | None = None
    """CPU time over wall time: 1.0 is one core."""
    memory_used_bytes: int | None = None
    """Without the file cache that can be dropped, as `docker stats` shows it."""
    memory_limit_bytes: int | None = None
    """`None` where it has no limit of its own."""
    received_bytes_per_s: float | None = None
    sent_bytes_per_s: float | None = None
    processes: int | None = None

    @property
    def runs(self) -> bool:
        """Whether it has processes, paused or not."""
        return self.status in ("running", "paused", "restarting")
