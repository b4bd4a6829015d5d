"""The screens that offer actions, and what decides which of them are possible."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tritop.model import EMPTY_SNAPSHOT, ModelVersion, Server, Snapshot, Traffic

__all__ = ["Place", "Situation"]


class Place(StrEnum):
    """A screen that can offer an action; its value is the title of the screen."""

    EVERYWHERE = "everywhere"
    OVERVIEW = "overview"
    SERVERS = "servers"
    SERVER = "server"
    MODEL = "model"
    CONFIG = "config"
    EVENTS = "events"
    GPUS = "gpus"
    LOGS = "log"
    TRIALS = "trials"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides which actions are possible right now."""

    snapshot: Snapshot = EMPTY_SNAPSHOT
    server: Server | None = None
    model: ModelVersion | None = None
    traffic: Traffic | None = None
    """Our traffic to the selected model, stopped or not."""
    read_only: bool = False
    filtered: bool = False
    paused: bool = False
    failures: bool = False
    """Whether an operation failed that nobody has dismissed yet."""
