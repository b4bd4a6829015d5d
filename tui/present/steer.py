"""The question before a server is stopped, restarted or removed: what it would do, and to whom."""

from __future__ import annotations

import re

from tritop.model import Server, Snapshot
from tritop.operation import SteerServer, Wish
from tritop.server_spec import EXIT_TIMEOUT_S
from tui.format import rate
from tui.present.lines import bullet, wrapped
from tui.present.look import Look
from tui.present.may_run import runs
from tui.present.server_words import is_foreign, whose
from tui.present.servers import requests_per_s
from tui.present.traffic import runs as traffic_runs
from tui.widgets.lines import Line

__all__ = ["container_id_of", "steer_lines", "steer_title", "steering", "tick_words"]

LABEL = 12
MODELS_NAMED = 4
_EXIT_TIMEOUT = re.compile(r"--exit-timeout-secs=(\d{1,6})\b")
_VERBS = {Wish.START: "Start", Wish.STOP: "Stop", Wish.RESTART: "Restart", Wish.REMOVE: "Remove"}


def steer_title(server: Server, wish: Wish, look: Look) -> str:
    """The question."""
    return f"{_VERBS[wish]} {look.clean(server.name, 60)}?"


def tick_words(server: Server, wish: Wish, look: Look) -> tuple[str, str]:
    """(do not, do): what is ticked by name before somebody else's container is touched."""
    container = server.container
    name = look.clean(container.name, 60) if container is not None else look.clean(server.name, 60)
    return f"leave {name} alone", f"{wish} {name}, which is not ours"


def container_id_of(server: Server) -> str:
    """The container that is meant, "" for a server without one."""
    if server.container is not None:
        return server.container.id
    return server.launch.container_id if server.launch is not None else ""


def steering(server: Server, wish: Wish) -> SteerServer:
    """What to send once the operator has said so."""
    return SteerServer(server.name, wish, confirmed=is_foreign(server.container), container_id=container_id_of(server))


def steer_lines(snapshot: Snapshot, server: Server, wish: Wish, width: int, look: Look) -> list[Line]:
    """Whose it is, what goes through it now, and what happens to that."""
    lines = _whose_lines(server, width, look)
    if wish is not Wish.START:
        lines += _serving_lines(snapshot, server, width, look)
    tone = "warn" if wish is Wish.REMOVE else ""
    for sentence in _effects(server, wish):
        lines += wrapped(sentence, width, tone)
    return lines


def _whose_lines(server: Server, width: int, look: Look) -> list[Line]:
    container = server.container
    if container is None:
        return []
    lines = bullet("container", LABEL, look.clean(f"{container.name}  {container.id[:12]}", 120), width)
    lines += bullet("image", LABEL, look.clean(container.image, 200), width)
    if is_foreign(container):
        made = f"made {whose(container, look)}" if container.managed else "not made by tritop"
        said = f"{made}: somebody else may count on it."
        lines += bullet("not ours", LABEL, said, width, "error")
    return lines


def _serving_lines(snapshot: Snapshot, server: Server, width: int, look: Look) -> list[Line]:
    total = requests_per_s(server)
    if not runs(server) or not server.models:
        return bullet("now", LABEL, "it serves nothing", width, "dim")
    busy = sorted(server.models, key=lambda model: -(model.requests_per_s or 0.0))
    busy = [model for model in busy if model.requests_per_s]
    named = [f"{look.clean(model.name, 40)} {rate(model.requests_per_s)}/s" for model in busy[:MODELS_NAMED]]
    rest = len({model.name for model in server.models} - {model.name for model in busy[:MODELS_NAMED]})
    named += [f"{rest} more model{'s' if rest > 1 else ''}"] if rest else []
    through = (
        f"{rate(total)} requests/s go through it" if total is not None else "how much goes through it is not known"
    )
    lines = bullet("now", LABEL, look.joined((through, ", ".join(named))), width, "warn" if total else "")
    ours = [one for one in snapshot.traffic if one.server == server.name and traffic_runs(one)]
    if ours:
        names = ", ".join(look.clean(one.model, 40) for one in ours)
        lines += bullet("our traffic", LABEL, f"to {names} fails meanwhile", width)
    return lines


def _effects(server: Server, wish: Wish) -> list[str]:
    if wish is Wish.START:
        return ["Its container is started as it is."]
    up = runs(server)
    first = [_ending(server)] if up else []
    if wish is Wish.STOP:
        return [*first, "It stays stopped until somebody starts it."] if up else ["Its next start is called off."]
    if wish is Wish.RESTART:
        many = len({model.name for model in server.models})
        loaded = f"its {many} models are" if many > 1 else "its model is" if many else "its models are"
        return [*first, f"It is started again at once, and serves nothing until {loaded} loaded."]
    log = "Its container is removed, and its log with it: neither comes back."
    return [*first, log, "The model repository and the image stay as they are."]


def _ending(server: Server) -> str:
    given = _EXIT_TIMEOUT.search(server.launch.command) if server.launch is not None else None
    limit = (
        f"up to {given[1]} s" if given else f"up to its exit time-out, {EXIT_TIMEOUT_S} s unless it was given another"
    )
    return f"New requests are refused at once; those under way are finished, for {limit}."
