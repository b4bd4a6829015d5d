"""The palette: every action of the table and every model, found by typing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tritop.operation import SetInterval
from tui.format import clean
from tui.keys import ACTIONS, Group, Place
from tui.present.table import subjects_of

if TYPE_CHECKING:
    from tui.app import TritopApp

__all__ = ["ActionCommands", "ModelCommands"]

HITS_MOST = 50


def _app_of(provider: Provider) -> TritopApp:
    from tui.app import TritopApp

    app = provider.app
    assert isinstance(app, TritopApp)
    return app


class ActionCommands(Provider):
    """The actions of the screen in front and `interval SECONDS`; a change that is not possible says why."""

    def _offered(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        app = _app_of(self)
        situation = app.desk.situation()
        place = getattr(self.screen, "place", Place.OVERVIEW)
        for action in ACTIONS:
            reason = action.enabled(situation)
            if reason and action.group is not Group.CHANGE:
                continue
            if action.palette and action.places & {place, Place.EVERYWHERE}:
                name = action.name.replace("_", " ").removeprefix("view ")
                told = f"not now: {clean(reason, 200)}" if reason else action.help

                def command(name: str = action.name) -> None:
                    app.perform(name)

                yield name, f"{told}  ({action.key_text})", command

    async def discover(self) -> Hits:
        """Every action, before anything is typed."""
        for name, help_text, command in self._offered():
            yield DiscoveryHit(Content(name), command, text=name, help=_plain(help_text))

    async def search(self, query: str) -> Hits:
        """Actions whose name or help matches."""
        app = _app_of(self)
        interval_s = _interval_in(query)
        if interval_s is not None:
            text = f"interval {interval_s:g}"

            def set_interval() -> None:
                app.desk.submit(SetInterval(interval_s))

            yield Hit(1.0, Content(text), set_interval, text=text, help="read the sources that often, in seconds")
        matcher = self.matcher(query)
        for name, help_text, command in self._offered():
            score = max(matcher.match(name), 0.5 * matcher.match(help_text))
            if score > 0:
                yield Hit(score, matcher.highlight(name), command, text=name, help=_plain(help_text))


class ModelCommands(Provider):
    """`go to MODEL VERSION` for every model of the Snapshot in view."""

    async def search(self, query: str) -> Hits:
        """Models whose name matches; nothing of a name is read as markup."""
        app = _app_of(self)
        matcher = self.matcher(query)
        subjects = subjects_of(app.desk.shown)
        several = len(app.desk.shown.servers) > 1
        found = 0
        for subject in subjects:
            if subject.model is None:
                continue
            name = clean(f"go to {subject.model.name} v{subject.model.version}".removesuffix(" v"), 100)
            if several:
                name += f" on {clean(subject.server.name, 40)}"
            score = matcher.match(name)
            if score <= 0:
                continue

            def command(key: tuple[str, str, str] = subject.key) -> None:
                app.desk.select(key)
                app.open_view(Place.OVERVIEW)
                app.perform("view_model")

            yield Hit(score, Content(name), command, text=name)
            found += 1
            if found >= HITS_MOST:
                return


def _interval_in(query: str) -> float | None:
    """Seconds of `interval 0.5`, within what makes sense."""
    word, _, number = query.strip().partition(" ")
    if not word or not "interval".startswith(word):
        return None
    try:
        seconds = float(number)
    except ValueError:
        return None
    return seconds if 0.25 <= seconds <= 60.0 else None


def _plain(text: str) -> str:
    """The palette reads help as markup."""
    return text.replace("[", "\\[")
