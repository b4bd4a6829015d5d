"""Everything about one server: its sources, its launch, its memory, its GPUs."""

from __future__ import annotations

from tritop.model import Server, Snapshot, Source
from tui.format import UNKNOWN, age_s, bytes_iec, count, fit, percent
from tui.present.container_page import container_section, log_section
from tui.present.custom import custom_section
from tui.present.gpus import gpu_name
from tui.present.header import models_text
from tui.present.lines import Section, bullet, in_columns, wrapped
from tui.present.look import SERVER_TONES, SOURCE_TONES, Look
from tui.present.trouble import in_trouble, trouble_lines
from tui.widgets.lines import Line

__all__ = ["server_lines"]

LABEL = 14
LOG_LINES = 12


def server_lines(snapshot: Snapshot, server: Server, width: int, look: Look) -> list[Line]:
    """The page of a server: one column, two from 100 cells on."""
    columns = 2 if width >= 96 else 1
    cells = width // columns
    body = cells - 3 if columns > 1 else cells
    trouble = _trouble(snapshot, server, body, look)
    left = [
        trouble,
        _facts(server, body, look),
        container_section(snapshot, server, body, look),
        _sources(snapshot, server, body, look),
        _gpus(snapshot, server, body, look),
    ]
    right = [_launch(server, body, look), custom_section(server, body, look), log_section(server, body, look)]
    groups = [left, right] if columns == 2 else [left + right]
    widths = [cells, width - cells] if columns == 2 else [width]
    return in_columns(groups, widths, ascii=look.ascii)


def _trouble(snapshot: Snapshot, server: Server, width: int, look: Look) -> Section | None:
    if not in_trouble(server):
        return None
    return Section("WHAT IS WRONG", tuple(trouble_lines(server, snapshot.at, width, look, LOG_LINES)))


def _facts(server: Server, width: int, look: Look) -> Section:
    answers = {True: "yes", False: "no", None: UNKNOWN}
    cpu = percent(server.cpu_ratio)
    memory = f"{bytes_iec(server.memory_used_bytes)} of {bytes_iec(server.memory_total_bytes)}"
    pinned = f"{bytes_iec(server.pinned_used_bytes)} of {bytes_iec(server.pinned_total_bytes)}"
    tone = SERVER_TONES.get(server.state, "error")
    facts = [
        ("state", f"{look.glyphs.of_server(server.state)} {str(server.state).replace('_', ' ')}", tone),
        ("live, ready", f"{answers[server.live]}, {answers[server.ready]}", ""),
        ("Triton", look.clean(server.version or UNKNOWN, 40), ""),
        ("gRPC", look.clean(server.endpoint, 120), ""),
        ("metrics", look.clean(server.metrics_endpoint, 200) or "none", ""),
        ("control mode", f"{server.control_mode}{_control_note(server)}", ""),
        ("changes", "not allowed: read-only" if server.read_only else "", "warn"),
        ("models", models_text(server) or "none", ""),
        ("CPU", f"{cpu} of all cores" if server.cpu_ratio is not None else "", ""),
        ("memory", memory if server.memory_total_bytes is not None else "", ""),
        ("pinned pool", pinned if server.pinned_total_bytes is not None else "", ""),
        ("counters", "stand still: counter_latencies=false" if server.counters_frozen else "", "warn"),
        ("extensions", ", ".join(look.clean(name, 60) for name in server.extensions), "dim"),
    ]
    lines = [line for label, value, toned in facts if value for line in bullet(label, LABEL, value, width, toned)]
    return Section("SERVER", tuple(lines), look.clean(server.name, 80))


def _control_note(server: Server) -> str:
    return "; models load and unload on request" if server.control_mode == "explicit" else ""


def _sources(snapshot: Snapshot, server: Server, width: int, look: Look) -> Section:
    lines: list[Line] = []
    for source in server.sources:
        lines += _source(source, snapshot.at, width, look)
    return Section("SOURCES", tuple(lines) or ((("none", "dim"),),), "what is read, and how old it is")


def _source(source: Source, now: float, width: int, look: Look) -> list[Line]:
    age = f"{age_s(source.age_s)} old" if source.age_s is not None else "never read"
    text = f"{fit(look.clean(source.name, LABEL), LABEL)} {fit(str(source.state), 8)} {age}"
    lines: list[Line] = [((text, SOURCE_TONES.get(source.state, "")),)]
    fault = source.fault
    if fault is not None:
        tries = "once" if fault.attempts == 1 else f"{count(fault.attempts)} times"
        since = f"{look.clean(fault.title, 40)}, {tries}, for {age_s(max(0.0, now - fault.since))}"
        lines += wrapped(since, width, indent="  ")
        lines += wrapped(look.clean(fault.sentence, 600), width, indent="  ")
        lines += wrapped(look.clean(fault.advice, 600), width, "accent", indent="  ") if fault.advice else []
    return lines


def _gpus(snapshot: Snapshot, server: Server, width: int, look: Look) -> Section | None:
    numbered = [(number, gpu) for number, gpu in enumerate(snapshot.gpus) if server.name in gpu.servers]
    if not numbered:
        return None
    lines: list[Line] = []
    for number, gpu in numbered:
        head = f"{gpu_name(gpu, number)}  {look.clean(gpu.name, 40)}  {percent(gpu.utilization_ratio)} busy"
        lines.append(((head, "title"),))
        memory = f"{bytes_iec(gpu.used_bytes)} of {bytes_iec(gpu.total_bytes)}"
        lines += bullet("memory", LABEL, memory, width)
        if gpu.throttle_reasons:
            lines += bullet("throttled", LABEL, look.clean(", ".join(gpu.throttle_reasons), 200), width, "warn")
        for process in gpu.processes:
            owner = process.server or process.container or "not ours"
            text = f"{look.clean(process.name, 40)}  {bytes_iec(process.used_bytes)}  {look.clean(owner, 40)}"
            lines += bullet(f"pid {process.pid}", LABEL, text, width, "" if process.server else "dim")
        lines += bullet("source", LABEL, f"{gpu.origin}  {look.clean(gpu.uuid, 60)}", width, "dim")
        if gpu.fault:
            lines += wrapped(look.clean(gpu.fault, 400), width, "error")
    return Section("GPUS", tuple(lines))


def _launch(server: Server, width: int, look: Look) -> Section | None:
    launch = server.launch
    if launch is None:
        return None
    facts = [
        ("state", look.clean(launch.state, 30), ""),
        ("step", look.clean(launch.step, 200), ""),
        ("pid", "" if launch.pid is None else str(launch.pid), ""),
        ("restarts", count(launch.restarts), "warn" if launch.restarts else ""),
        ("exit code", "" if launch.exit_code is None else str(launch.exit_code), "error"),
        ("why", look.clean(launch.explanation, 600), "error"),
        ("log file", look.clean(launch.log_path, 300), ""),
        ("command", look.clean(launch.command, 4000), "dim"),
        ("", "c copies the command" if launch.command else "", "dim"),
    ]
    lines = [line for label, value, tone in facts if value for line in bullet(label, LABEL, value, width, tone)]
    return Section("LAUNCH", tuple(lines), f"run by tritop, {look.clean(launch.runtime, 20)}")
