"""One entry of the ledger, and its line of JSON. Pure."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from tritop.change import FieldChange
from tritop.model import Event, EventKind

NOTICED = "noticed"
"""`Entry.action` of what tritop did not do."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who changed something: enough to tell whether that tritop still runs."""

    user: str
    host: str
    pid: int
    started: int = 0
    """Start time of the process in clock ticks since boot (proc(5), `stat` field 22): pids are used again."""
    boot_id: str = ""

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, with all that is needed to take it back."""

    id: str
    at: float
    """Wall time [s since the epoch]."""
    kind: EventKind
    endpoint: str
    """host:port of the server's gRPC; this and not `server`, which anybody may choose, names it."""
    server: str = ""
    model: str = ""
    version: str = ""
    author: Author | None = None
    """Who did it or, where the action is `NOTICED`, noticed it."""
    action: str = ""
    """What was done, such as "edit", "load", "unload", "versions"; see `undo`."""
    text: str = ""
    diff: tuple[FieldChange, ...] = ()
    pbtxt_before: str = ""
    """"" where the model was not loaded."""
    pbtxt_after: str = ""
    versions_before: tuple[int, ...] = ()
    versions_after: tuple[int, ...] = ()
    outcome: str = ""
    succeeded: bool | None = None
    """`None` for what was only noticed, and for what has begun and not ended."""
    duration_s: float | None = None
    trial_s: float | None = None
    refers_to: str = ""
    """Id of the entry that this one ends or takes back."""

    @property
    def who(self) -> str:
        """user@host of who did it, "" for what was only noticed."""
        return str(self.author) if self.author and self.action != NOTICED else ""

    def event(self) -> Event:
        """The part of it that the screen shows."""
        return Event(
            at=self.at,
            kind=self.kind,
            server=self.server,
            model=self.model,
            version=self.version,
            who=self.who,
            text=self.text,
            id=self.id,
            diff=self.diff,
            outcome=self.outcome,
            succeeded=self.succeeded,
            duration_s=self.duration_s,
        )


def new_id(at: float) -> str:
    """An id that no other process makes and that sorts by time: milliseconds, then chance."""
    return f"{int(at * 1000):011x}-{secrets.token_hex(4)}"


def noticed_entry(event: Event, endpoint: str, author: Author) -> Entry:
    """The entry of something that a tritop noticed and did not do."""
    return Entry(
        id=event.id or new_id(event.at),
        at=event.at,
        kind=event.kind,
        endpoint=endpoint,
        server=event.server,
        model=event.model,
        version=event.version,
        author=author,
        action=NOTICED,
        text=event.text,
    )


def to_line(entry: Entry) -> bytes:
    """One line, newline included: ASCII, so that neither a name nor a log line can break it."""
    author = entry.author
    fields: dict[str, object] = {
        "id": entry.id,
        "at": entry.at,
        "kind": entry.kind.value,
        "endpoint": entry.endpoint,
        "server": entry.server,
        "model": entry.model,
        "version": entry.version,
        "who": None
        if author is None
        else {
            "user": author.user,
            "host": author.host,
            "pid": author.pid,
            "started": author.started,
            "boot_id": author.boot_id,
        },
        "action": entry.action,
        "text": entry.text,
        "diff": [{"path": one.path, "before": one.before, "after": one.after} for one in entry.diff],
        "config_before": entry.pbtxt_before,
        "config_after": entry.pbtxt_after,
        "versions_before": list(entry.versions_before),
        "versions_after": list(entry.versions_after),
        "outcome": entry.outcome,
        "succeeded": entry.succeeded,
        "duration_s": entry.duration_s,
        "trial_s": entry.trial_s,
        "refers_to": entry.refers_to,
    }
    kept = {name: value for name, value in fields.items() if value not in (None, "", [])}
    return json.dumps(kept, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> Entry | None:
    """The opposite of `to_line`; fields that are not known are left out.

    Returns:
        `None` for a line that is no entry: torn, or of a kind that only a newer tritop knows.
    """
    try:
        fields = json.loads(line)
        return _entry(fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _entry(fields: dict[str, object]) -> Entry:
    def text(name: str) -> str:
        value = fields.get(name, "")
        if not isinstance(value, str):
            raise TypeError(name)
        return value

    def number(name: str) -> float | None:
        value = fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(name)
        return float(value)

    succeeded = fields.get("succeeded")
    at = number("at")
    if at is None or not text("id"):
        raise KeyError("id")
    return Entry(
        id=text("id"),
        at=at,
        kind=EventKind(text("kind")),
        endpoint=text("endpoint"),
        server=text("server"),
        model=text("model"),
        version=text("version"),
        author=_author(fields.get("who")),
        action=text("action"),
        text=text("text"),
        diff=_diff(fields.get("diff", [])),
        pbtxt_before=text("config_before"),
        pbtxt_after=text("config_after"),
        versions_before=_versions(fields.get("versions_before", [])),
        versions_after=_versions(fields.get("versions_after", [])),
        outcome=text("outcome"),
        succeeded=succeeded if isinstance(succeeded, bool) else None,
        duration_s=number("duration_s"),
        trial_s=number("trial_s"),
        refers_to=text("refers_to"),
    )


def _author(value: object) -> Author | None:
    if not isinstance(value, dict):
        return None
    return Author(
        user=str(value["user"]),
        host=str(value["host"]),
        pid=int(value["pid"]),
        started=int(value.get("started", 0)),
        boot_id=str(value.get("boot_id", "")),
    )


def _diff(value: object) -> tuple[FieldChange, ...]:
    if not isinstance(value, list):
        raise TypeError("diff")
    return tuple(FieldChange(str(one["path"]), str(one["before"]), str(one["after"])) for one in value)


def _versions(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TypeError("versions")
    return tuple(int(one) for one in value)
