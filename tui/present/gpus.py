"""GPUs: a line for each on top of every screen, and the page that says everything about them."""

from __future__ import annotations

from collections.abc import Sequence

from tritop.model import Gpu, GpuProcess, MigDevice, ModelVersion, Snapshot, Source, SourceState, Xid
from tui.draw import bar
from tui.format import UNKNOWN, age_s, bytes_iec, clock, count, fit, percent, rate
from tui.present.lines import Piece, Section, bullet, in_columns, one_line, wrapped
from tui.present.look import SOURCE_TONES, Look
from tui.widgets.lines import Line

__all__ = ["GPU_LINES_MOST", "gpu_lines", "gpu_name", "gpu_page"]

GPU_LINES_MOST = 4
LABEL = 11
GAUGE = 16
MEASURE = 22
"""`123.4 MiB of 999.9 GiB`."""

_XID_WORDS = {
    13: "an application's fault",
    31: "an application's memory fault",
    43: "an application was stopped",
    45: "an application was stopped",
    48: "uncorrectable memory error",
    63: "a memory row is remapped",
    64: "a memory row cannot be remapped",
    74: "NVLink error",
    79: "the GPU fell off the bus",
    94: "contained memory error",
    95: "uncontained memory error",
    119: "its firmware does not answer",
    120: "its firmware failed",
}
"""The codes that operators meet, as NVIDIA's catalogue of XID errors describes them."""


def gpu_name(gpu: Gpu, number: int) -> str:
    """`GPU0`; where the index is unknown, the place in the list stands for it."""
    return f"GPU{gpu.index if gpu.index is not None else number}"


# -- the strip --------------------------------------------------------------------------------


def gpu_lines(snapshot: Snapshot, width: int, look: Look) -> list[Line]:
    """One line for each GPU up to four, then one for all of the rest."""
    shown = snapshot.gpus[:GPU_LINES_MOST]
    lines = [_strip_line(gpu, number, width, look) for number, gpu in enumerate(shown)]
    rest = snapshot.gpus[len(shown) :]
    return [*lines, _rest_line(rest, width)] if rest else lines


def _rest_line(gpus: Sequence[Gpu], width: int) -> Line:
    """What stands out among the GPUs that have no line of their own."""
    busy = [gpu.utilization_ratio for gpu in gpus if gpu.utilization_ratio is not None]
    used = [gpu.used_bytes for gpu in gpus if gpu.used_bytes is not None]
    faulty = sum(bool(gpu.fault) for gpu in gpus)
    throttled = sum(bool(gpu.throttle_reasons) for gpu in gpus)
    pieces = [
        Piece(f"and {len(gpus)} more GPU{'s' if len(gpus) > 1 else ''}", "dim"),
        Piece(f"{percent(min(busy))} to {percent(max(busy))} busy" if busy else "", "", 2),
        Piece(f"mem {bytes_iec(sum(used))} in all" if used else "", "", 4),
        Piece(f"{throttled} throttled" if throttled else "", "warn", 1),
        Piece(f"{faulty} not readable" if faulty else "", "error"),
    ]
    return one_line(pieces, [], width)


def _strip_line(gpu: Gpu, number: int, width: int, look: Look) -> Line:
    gauge = GAUGE if width >= 120 else 8
    memory = f"mem {bytes_iec(gpu.used_bytes)} of {bytes_iec(gpu.total_bytes)}"
    pieces = [
        Piece(gpu_name(gpu, number), "title"),
        Piece(look.clean(gpu.name.removeprefix("NVIDIA "), 20), "", 8),
        Piece(f"{percent(gpu.utilization_ratio):>4}", _busy_tone(gpu, look)),
        Piece(_gauge(gpu.utilization_ratio, gauge, look), "graph", 7, joined=True),
        Piece(memory, _memory_tone(gpu, look), 1),
        Piece(_gauge(_memory_ratio(gpu), gauge, look), "graph", 6, joined=True),
        Piece(_power(gpu), "", 3),
        Piece(_celsius(gpu.temperature_c, look) if gpu.temperature_c is not None else "", "", 4),
        Piece("" if gpu.sm_clock_mhz is None else f"{gpu.sm_clock_mhz} MHz", "", 7),
        Piece("throttled: " + ", ".join(gpu.throttle_reasons) if gpu.throttle_reasons else "", "warn", 2),
        Piece(f"XID {gpu.xids[-1].code}" if gpu.xids else "", "error", 2),
        Piece("by Triton" if gpu.origin == "triton" else "", "dim", 9),
        Piece(look.clean(gpu.fault, 80), "error", 2),
    ]
    return one_line(pieces, [], width)


def _memory_ratio(gpu: Gpu) -> float | None:
    return gpu.used_bytes / gpu.total_bytes if gpu.used_bytes is not None and gpu.total_bytes else None


def _busy_tone(gpu: Gpu, look: Look) -> str:
    return look.tone_above(gpu.utilization_ratio, look.thresholds.gpu_utilization_ratio)


def _memory_tone(gpu: Gpu, look: Look) -> str:
    return look.tone_above(_memory_ratio(gpu), look.thresholds.gpu_memory_ratio)


def _gauge(ratio: float | None, cells: int, look: Look) -> str:
    return f"{look.glyphs.bar_left}{bar(ratio, cells, ascii=look.ascii)}{look.glyphs.bar_right}"


def _power(gpu: Gpu) -> str:
    if gpu.power_w is None:
        return ""
    return f"{gpu.power_w:.0f}/{gpu.power_limit_w:.0f} W" if gpu.power_limit_w else f"{gpu.power_w:.0f} W"


def _celsius(degrees: float | None, look: Look) -> str:
    return UNKNOWN if degrees is None else f"{degrees:.0f} {'' if look.ascii else '°'}C"


# -- the page ---------------------------------------------------------------------------------


def gpu_page(snapshot: Snapshot, width: int, look: Look) -> list[Line]:
    """Where the numbers are from, and a section for each GPU: one column, two from 96 cells on."""
    columns = 2 if width >= 96 and len(snapshot.gpus) > 1 else 1
    cells = width // columns
    body = cells - 3 if columns > 1 else cells
    head = in_columns([[_source(snapshot, width, look)]], [width], ascii=look.ascii)
    sections = [_gpu(snapshot, gpu, number, body, look) for number, gpu in enumerate(snapshot.gpus)]
    lines: list[Line] = []
    for first in range(0, len(sections), columns):
        row = sections[first : first + columns]
        widths = [cells] * (len(row) - 1) + [width - cells * (len(row) - 1)]
        lines += in_columns([[section] for section in row], widths, ascii=look.ascii)
    return [*head, *lines]


def _source(snapshot: Snapshot, width: int, look: Look) -> Section:
    source = snapshot.gpu_source
    lines: list[Line] = []
    if source is not None:
        age = f", {age_s(source.age_s)} old" if source.age_s is not None else ""
        driver = look.clean(snapshot.gpu_driver, 30)
        text = look.joined((f"NVML on this host: {source.state}{age}", f"driver {driver}" if driver else ""))
        lines.append(((text, SOURCE_TONES.get(source.state, "")),))
        lines += _fault(source, width, look)
    elif snapshot.gpus:
        lines.append((("no watched server is on this host: what follows is what the servers say", "dim"),))
    if not snapshot.gpus:
        lines += wrapped(_why_none(source), width, "dim")
    return Section("GPUS", tuple(lines))


def _why_none(source: Source | None) -> str:
    if source is None:
        return "No watched server is on this host, and none of them reports a GPU. Triton reports none in MIG mode."
    if source.state is SourceState.OK:
        return "The driver knows of no GPU, and no server reports one."
    return "No server reports a GPU of its own either."


def _fault(source: Source, width: int, look: Look) -> list[Line]:
    fault = source.fault
    if fault is None:
        return []
    tone = "dim" if source.state is SourceState.OFF else "error"
    lines = wrapped(look.clean(fault.sentence, 600), width, tone)
    return lines + (wrapped(look.clean(fault.advice, 600), width, "accent") if fault.advice else [])


def _gpu(snapshot: Snapshot, gpu: Gpu, number: int, width: int, look: Look) -> Section:
    lines: list[Line] = []
    if gpu.fault:
        lines += wrapped(look.clean(gpu.fault, 400), width, "error")
    lines.append(_measure("busy", percent(gpu.utilization_ratio), gpu.utilization_ratio, _busy_tone(gpu, look), look))
    memory = f"{bytes_iec(gpu.used_bytes)} of {bytes_iec(gpu.total_bytes)}"
    lines.append(_measure("memory", memory, _memory_ratio(gpu), _memory_tone(gpu, look), look))
    for label, value, tone in _facts(gpu, look) if gpu.origin == "nvml" else _gauges(gpu, look):
        if value:
            lines += bullet(label, LABEL, value, width, tone)
    for xid in gpu.xids:
        lines += bullet("XID", LABEL, _xid(xid), width, "error")
    for device in gpu.mig_devices:
        lines += bullet("MIG", LABEL, _slice(device, look), width)
    for field, why in gpu.field_faults:
        lines += bullet("not read", LABEL, look.clean(f"{field.replace('_', ' ')}: {why}", 300), width, "warn")
    lines += _models(snapshot, gpu, width, look)
    lines += _processes(gpu, width, look)
    title = f"{gpu_name(gpu, number)}  {look.clean(gpu.name, 40)}".rstrip()
    return Section(title, tuple(lines), "by NVML" if gpu.origin == "nvml" else "by Triton")


def _measure(label: str, text: str, ratio: float | None, tone: str, look: Look) -> Line:
    """A number with its gauge; the gauges of a GPU stand below each other."""
    return (
        (fit(label, LABEL) + " ", "dim"),
        (fit(text, MEASURE), tone),
        (f" {_gauge(ratio, GAUGE, look)}", "graph"),
    )


def _gauges(gpu: Gpu, look: Look) -> list[tuple[str, str, str]]:
    """What Triton says of a GPU that is not on this host."""
    return [
        ("power", _power(gpu), ""),
        ("on", ", ".join(look.clean(server, 40) for server in gpu.servers), ""),
        ("id", look.clean(gpu.uuid, 60), "dim"),
    ]


def _facts(gpu: Gpu, look: Look) -> list[tuple[str, str, str]]:
    """(label, value, tone) of everything that NVML says; what a GPU does not offer is left out."""
    memory_busy = gpu.memory_utilization_ratio
    return [
        ("", f"{bytes_iec(gpu.reserved_bytes)} more for the driver" if gpu.reserved_bytes else "", "dim"),
        ("memory bus", f"busy {percent(memory_busy)} of the time" if memory_busy is not None else "", ""),
        ("power", _power(gpu), ""),
        ("energy", _energy(gpu), ""),
        ("heat", _heat(gpu, look), ""),
        ("clocks", _clocks(gpu), ""),
        ("throttled", ", ".join(gpu.throttle_reasons), "warn"),
        ("fan", percent(gpu.fan_ratio) if gpu.fan_ratio is not None else "", ""),
        ("PCIe", _pcie_link(gpu, look), ""),
        ("", _pcie_flow(gpu), ""),
        ("memory errs", _ecc(gpu), "error" if gpu.ecc_uncorrected or gpu.remap_failed else ""),
        ("MIG", "on: NVML gives no load in this mode" if gpu.mig else "", ""),
        ("persistence", "off: each first use loads the driver" if gpu.persistence is False else "", "dim"),
        ("at", look.clean(gpu.bus_id, 20), "dim"),
        ("id", look.clean(gpu.uuid, 60), "dim"),
    ]


def _energy(gpu: Gpu) -> str:
    return f"{gpu.energy_j / 3.6e6:.2f} kWh since the driver was loaded" if gpu.energy_j is not None else ""


def _heat(gpu: Gpu, look: Look) -> str:
    if gpu.temperature_c is None:
        return ""
    limit = f"slows down at {_celsius(gpu.slowdown_c, look)}" if gpu.slowdown_c is not None else ""
    memory = f"memory {_celsius(gpu.memory_temperature_c, look)}" if gpu.memory_temperature_c is not None else ""
    return look.joined((_celsius(gpu.temperature_c, look), limit, memory))


def _clocks(gpu: Gpu) -> str:
    pairs = (("SM", gpu.sm_clock_mhz, gpu.max_sm_clock_mhz), ("memory", gpu.memory_clock_mhz, gpu.max_memory_clock_mhz))
    texts = [
        f"{name} {now}{f'/{most}' if most is not None else ''} MHz" for name, now, most in pairs if now is not None
    ]
    if gpu.performance_state is not None:
        texts.append(f"P{gpu.performance_state}")
    return ", ".join(texts)


def _pcie_link(gpu: Gpu, look: Look) -> str:
    if gpu.pcie_generation is None or gpu.pcie_width is None:
        return ""
    return f"gen {gpu.pcie_generation} {look.glyphs.times}{gpu.pcie_width}"


def _pcie_flow(gpu: Gpu) -> str:
    sent, received = gpu.pcie_sent_bytes_per_s, gpu.pcie_received_bytes_per_s
    return f"sends {bytes_iec(sent)}/s, receives {bytes_iec(received)}/s" if sent is not None else ""


def _ecc(gpu: Gpu) -> str:
    parts = []
    if gpu.ecc_uncorrected is not None:
        parts.append(f"{count(gpu.ecc_uncorrected)} uncorrected, {count(gpu.ecc_corrected)} corrected")
    if gpu.remapped_rows:
        parts.append(f"{count(gpu.remapped_rows)} rows remapped")
    if gpu.remap_pending:
        parts.append("more at the next reset")
    if gpu.remap_failed:
        parts.append("remapping failed")
    return ", ".join(parts)


def _xid(xid: Xid) -> str:
    words = _XID_WORDS.get(xid.code, "")
    return f"{xid.code} at {clock(xid.at)}{f': {words}' if words else ''}"


def _slice(device: MigDevice, look: Look) -> str:
    place = f"instance {device.gpu_instance}" if device.gpu_instance is not None else "instance ?"
    memory = f"{bytes_iec(device.used_bytes)} of {bytes_iec(device.total_bytes)}"
    return look.joined((place, memory, look.clean(device.uuid, 60)))


def _models(snapshot: Snapshot, gpu: Gpu, width: int, look: Look) -> list[Line]:
    """The models that have instances on a GPU, as the labels of Triton's counters say."""
    lines: list[Line] = []
    several = len(snapshot.servers) > 1
    for server in snapshot.servers:
        for model in server.models:
            per_s = dict(model.gpu_requests_per_s).get(gpu.uuid)
            if per_s is None:
                continue
            where = f"{look.clean(server.name, 30)} " if several else ""
            lines += bullet("model", LABEL, f"{where}{_model(model, look)}  {rate(per_s)} req/s", width)
    return lines


def _model(model: ModelVersion, look: Look) -> str:
    return f"{look.clean(model.name, 40)} {look.clean(model.version, 12)}".rstrip()


def _processes(gpu: Gpu, width: int, look: Look) -> list[Line]:
    """Those of servers first, then the neighbours; the largest first among each."""
    lines: list[Line] = []
    by_size = sorted(gpu.processes, key=lambda process: (-(process.used_bytes or 0), process.pid))
    for process in sorted(by_size, key=lambda process: process.server is None):
        lines += bullet(f"pid {process.pid}", LABEL, _process(process, look), width, "" if process.server else "dim")
    if gpu.unseen_processes:
        unseen = gpu.unseen_processes
        text = f"and {unseen} more that this system does not show: of another pid namespace, or just gone"
        lines += bullet("", LABEL, text, width, "dim")
    return lines


def _process(process: GpuProcess, look: Look) -> str:
    whose = look.clean(process.server, 40) if process.server is not None else "neighbour"
    place = f"container {look.clean(process.container, 64)[:12]}" if process.container else ""
    instance = f"MIG instance {process.gpu_instance}" if process.gpu_instance is not None else ""
    kind = process.kind if process.kind != "compute" else ""
    user = f"by {look.clean(process.user, 20)}" if process.user and process.server is None else ""
    name = look.clean(process.name, 40) or "?"
    return look.joined((f"{bytes_iec(process.used_bytes)}  {name}", whose, user, place, kind, instance))
