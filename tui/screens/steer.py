"""The question before a server is stopped, restarted or removed, or somebody else's is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual import on

from tritop.model import Server
from tritop.operation import Wish
from tui.desk import Desk
from tui.present.server_words import is_foreign
from tui.present.steer import container_id_of, steer_lines, steer_title, steering, tick_words
from tui.screens.confirm import AskDialog
from tui.widgets.choice import Choice
from tui.widgets.lines import Line

__all__ = ["SteerDialog"]


class SteerDialog(AskDialog):
    """Names the server and what happens to it; somebody else's container is ticked by its name before.

    Args:
        desk: what every screen works on.
        server: the server as it was when the key was pressed.
        wish: what is asked for.
    """

    def __init__(self, desk: Desk, server: Server, wish: Wish) -> None:
        super().__init__(desk, steer_title(server, wish, desk.look), str(wish).capitalize())
        self._server = server
        self._wish = wish

    def compose_ticks(self) -> Iterator[Choice]:
        """One for a container that is not ours."""
        if is_foreign(self._server.container):
            words = tick_words(self._server, self._wish, self.look)
            yield Choice(words, words[0], id="whose")

    def said(self, width: int) -> Sequence[Line]:
        """What it would do now, not when the key was pressed."""
        return steer_lines(self.desk.latest, self._now() or self._server, self._wish, width, self.look)

    def _now(self) -> Server | None:
        return next((one for one in self.desk.latest.servers if one.name == self._server.name), None)

    def obstacle(self) -> str:
        """It is another container by now, or nobody has ticked its name."""
        now = self._now()
        name = self.look.clean(self._server.name, 60)
        if now is None:
            return f"{name} is not there any more"
        if container_id_of(now) != container_id_of(self._server):
            return f"{name} is in another container by now: look again"
        ticks = list(self.query(Choice))
        if ticks and ticks[0].value == tick_words(self._server, self._wish, self.look)[0]:
            return "it is not ours: say so in the line above the buttons first"
        return ""

    @on(Choice.Changed)
    def _ticked(self, event: Choice.Changed) -> None:
        event.stop()
        self.show()

    def carry_out(self) -> None:
        """Ask for it."""
        self.desk.submit(steering(self._server, self._wish))
