"""Whether a server may be started, stopped, restarted, removed or entered, and if not: why."""

from __future__ import annotations

from tritop.model import Server, ServerState, Snapshot
from tritop.operation import Wish

__all__ = ["command_reason", "launch_reason", "shell_reason", "steer_reason"]

_HELD_BACK = ("BACKOFF", "WAITING")
"""States of a Launch that a next start comes out of by itself: it can be called off, or brought forward."""
_UNDER_WAY = ("PULLING", "CREATING")
_NO_CONTAINER = ("ABSENT", "UNKNOWN")


def steer_reason(snapshot: Snapshot, server: Server | None, wish: Wish, read_only: bool) -> str:
    """Why a server cannot be started, stopped, restarted or removed, "" where it can."""
    if server is None:
        return "no server is selected"
    name, launch, container = server.name, server.launch, server.container
    if read_only or server.read_only:
        return f"{name} is watched read-only: start tritop without --read-only to change something"
    if container is None and launch is None:
        return f"tritop does not run {name}: only its address is known"
    if launch is not None and launch.supervisor_pid is not None:
        return f"another tritop (process {launch.supervisor_pid}) supervises {name}: ask there, or end it"
    if container is not None or (launch is not None and launch.runtime == "docker"):
        lost = _engine_reason(snapshot)
        if lost:
            return lost
    return _wish_reason(server, wish)


def _engine_reason(snapshot: Snapshot) -> str:
    engine = snapshot.engine
    if engine is None or engine.fault is None:
        return ""
    return f"the engine cannot be used: {engine.fault.sentence.rstrip('.')}"


def _wish_reason(server: Server, wish: Wish) -> str:
    name, launch = server.name, server.launch
    if wish is Wish.REMOVE:
        no_container = server.container is None and (
            launch is None or launch.runtime == "local" or launch.state in _NO_CONTAINER
        )
        return f"{name} has no container that could be removed" if no_container else ""
    if server.state is ServerState.STOPPING and wish is not Wish.START:
        return f"{name} is stopping already"
    if wish is Wish.START:
        return f"{name} runs already" if runs(server) else ""
    if wish is Wish.STOP and not (runs(server) or _comes(server)):
        return f"{name} does not run"
    if wish is Wish.RESTART and not runs(server):
        return f"{name} does not run: o starts it"
    return ""


def runs(server: Server) -> bool:
    """Whether it has processes now, by its container or by its runtime."""
    if server.container is not None:
        return server.container.runs
    launch = server.launch
    if launch is None or launch.state in (*_HELD_BACK, *_UNDER_WAY, *_NO_CONTAINER):
        return False
    return server.state not in (ServerState.STOPPED, ServerState.CRASHED, ServerState.FAILED)


def _comes(server: Server) -> bool:
    """Whether it is going to run by itself: an image is pulled for it, or the next start is due."""
    return server.launch is not None and server.launch.state in (*_HELD_BACK, *_UNDER_WAY)


def shell_reason(snapshot: Snapshot, server: Server | None, read_only: bool) -> str:
    """Why no shell can be opened in the container of a server."""
    if server is None:
        return "no server is selected"
    if read_only or server.read_only:
        return f"{server.name} is watched read-only, and a shell could change anything"
    if server.container is None:
        return f"{server.name} is in no container of this host"
    lost = _engine_reason(snapshot)
    if lost:
        return lost
    if server.container.status != "running":
        return f"the container of {server.name} is {server.container.status}"
    return ""


def command_reason(server: Server | None) -> str:
    """Why there is no command line to copy."""
    if server is None:
        return "no server is selected"
    if server.launch is None or not server.launch.command:
        return f"tritop did not start {server.name} and does not know its command line"
    return ""


def launch_reason(snapshot: Snapshot, read_only: bool) -> str:
    """Why no server can be launched."""
    if read_only:
        return "tritop runs read-only: start it without --read-only to launch a server"
    return _engine_reason(snapshot)
