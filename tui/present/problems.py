"""The lines between header and table: what goes wrong or goes on, a sentence each."""

from __future__ import annotations

from tritop.model import Server, Snapshot, Source, SourceState
from tui.format import age_s
from tui.present.look import SERVER_TONES, Look
from tui.present.trouble import in_trouble, step_line
from tui.widgets.lines import Line

__all__ = ["problem_lines"]


def problem_lines(snapshot: Snapshot, look: Look, most: int, panel: Server | None = None) -> list[Line]:
    """The step of a start that goes on, one sentence for each source with a fault, one for a lost server.

    Args:
        snapshot: what is shown.
        look: characters to draw with.
        most: lines that there may be.
        panel: the server in trouble whose panel is on the screen and says it all.
    """
    lines: list[Line] = []
    if snapshot.bug:
        said = look.clean(snapshot.bug.strip().splitlines()[-1], 300)
        lines.append(((f"{look.glyphs.failed} a bug in tritop: nothing new is shown. {said}", "error"),))
    if snapshot.gpu_source is not None and snapshot.gpu_source.state is not SourceState.OFF:
        lines += [_of_source(source, "", look) for source in (snapshot.gpu_source,) if source.fault is not None]
    for server in snapshot.servers:
        who = f"{look.clean(server.name, 30)}: " if len(snapshot.servers) > 1 else ""
        if not in_trouble(server):
            lines += _of_answering(server, who, look)
        elif server is not panel:
            lines += _of_lost(server, who, look)
    return lines[:most]


def _of_answering(server: Server, who: str, look: Look) -> list[Line]:
    lines: list[Line] = []
    launch = server.launch
    if launch is not None and launch.step and launch.done is not None and launch.done != launch.total:
        lines.append(((f"{look.glyphs.loading} {who}", "warn"), *step_line(launch, look)))
    lines += [_of_source(source, who, look) for source in server.sources if source.fault is not None]
    if server.counters_frozen:
        text = f"{look.glyphs.stale} {who}counters stand still (counter_latencies=false): numbers from statistics"
        lines.append(((text, "dim"),))
    return lines


def _of_source(source: Source, who: str, look: Look) -> Line:
    fault = source.fault
    if fault is None:
        return ()
    off = source.state is SourceState.OFF
    sign = look.glyphs.unloaded if off else look.glyphs.stale
    age = f"; its numbers are {age_s(source.age_s)} old" if source.age_s is not None else ""
    said = look.clean(f"{fault.sentence} {fault.advice}".strip(), 300)
    return ((f"{sign} {who}{source.name} {fault.title}{age}. {said}", "dim" if off else "warn"),)


def _of_lost(server: Server, who: str, look: Look) -> list[Line]:
    fault = next((source.fault for source in server.sources if source.fault is not None), None)
    said = "" if fault is None else f"{fault.sentence} {fault.advice}"
    if server.launch is not None and server.launch.explanation:
        said = server.launch.explanation
    text = f"{look.glyphs.of_server(server.state)} {who}{str(server.state).replace('_', ' ').lower()}. "
    return [((text + look.clean(said.strip(), 300), SERVER_TONES.get(server.state, "error")),)]
