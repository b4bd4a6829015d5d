"""What the keys that run servers do: dialogs that send an Operation, a shell, a copied command line."""

from __future__ import annotations

import shutil
import signal
import subprocess
from types import FrameType
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from tritop.model import Server
from tritop.operation import Wish
from tui.keys import Place, action_named
from tui.present.server_words import is_foreign
from tui.present.shell_line import shell_line, shell_problem
from tui.present.steer import steering
from tui.screens.base import SnapshotScreen
from tui.screens.launch import LaunchScreen
from tui.screens.steer import SteerDialog

if TYPE_CHECKING:
    from tui.app import TritopApp

__all__ = ["ServerActions"]

DOCKER = "docker"


class ServerActions:
    """The actions of `tui.keys.Group.SERVERS`, for the screen in front.

    Args:
        app: whose screens and Session they work on.
    """

    def __init__(self, app: TritopApp) -> None:
        self._app = app
        self._desk = app.desk

    def _targets(self, action: str) -> list[Server]:
        """What is selected or marked, as far as the action is possible for it."""
        screen = self._app.screen
        if not isinstance(screen, SnapshotScreen):
            return []
        enabled = action_named(action).enabled
        return [one for one in screen.target_servers() if not enabled(self._desk.situation((one, None)))]

    def do_new_server(self) -> None:
        """The form."""
        self._app.push_screen(LaunchScreen(self._desk), self._launched)

    def _launched(self, name: str | None) -> None:
        """Show the servers, with the cursor on the new one as soon as it is there."""
        if name is not None:
            self._desk.select((name, "", ""))
            self._app.open_view(Place.SERVERS)

    def do_start_server(self) -> None:
        """Ours at once; somebody else's after a question."""
        for server in self._targets("start_server"):
            if is_foreign(server.container):
                self._app.push_screen(SteerDialog(self._desk, server, Wish.START))
            else:
                self._desk.submit(steering(server, Wish.START))

    def do_stop_server(self) -> None:
        """Ask about each."""
        self._ask("stop_server", Wish.STOP)

    def do_restart_server(self) -> None:
        """Ask about each."""
        self._ask("restart_server", Wish.RESTART)

    def do_remove_server(self) -> None:
        """Ask about each."""
        self._ask("remove_server", Wish.REMOVE)

    def _ask(self, action: str, wish: Wish) -> None:
        """Each dialog lies over the one before it, so the last one that is pushed is answered first."""
        for server in reversed(self._targets(action)):
            self._app.push_screen(SteerDialog(self._desk, server, wish))

    def do_copy_command(self) -> None:
        """The line that makes the same container, to the clipboard."""
        for server in self._targets("copy_command")[:1]:
            assert server.launch is not None
            self._app.copy_to_clipboard(server.launch.command)
            name = self._desk.look.clean(server.name, 60)
            self._app.notify(f"copied: the command line of {name}", timeout=4, markup=False)

    def do_shell(self) -> None:
        """Lend the terminal to a shell in the container, and take it back when that ends."""
        for server in self._targets("shell")[:1]:
            assert server.container is not None
            client = shutil.which(DOCKER)
            if client is None:
                problem = "there is no docker client on this machine: a shell needs it"
            else:
                problem = self._lend_terminal(shell_line(client, server.container.id), server)
            if problem:
                self._app.notify(
                    self._desk.look.clean(problem, 300), title="no shell", severity="warning", timeout=8, markup=False
                )

    def _lend_terminal(self, command: list[str], server: Server) -> str:
        name = self._desk.look.clean(server.name, 60)
        try:
            with self._app.suspend():
                print(f"A shell in the container of {name}; exit returns to tritop.", flush=True)
                return run_in_terminal(command)
        except SuspendNotSupported:
            return "this terminal cannot be lent to a shell"


def run_in_terminal(command: list[str]) -> str:
    """Run a command that has the terminal, and wait for it; Ctrl-C is its own, what ends tritop ends it too.

    Returns:
        Why it could not do its work, "" where it did.
    """
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}"

    def end_it(number: int, frame: FrameType | None) -> None:
        process.terminate()

    before = {number: signal.signal(number, end_it) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _, said = process.communicate()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return shell_problem(process.returncode, said)
