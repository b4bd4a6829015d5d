"""One GPU and who uses it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """One process on a GPU."""

    pid: int
    """In the pid namespace of the host, as the driver gives it."""
    used_bytes: int | None
    name: str = ""
    server: str | None = None
    """The server that it belongs to; `None` for a neighbour."""
    container: str | None = None
    """Id of its container, 64 hexadecimal digits, `None` outside of one."""
    kind: str = ""
    """compute, graphics, mps, or several of them joined by `+`."""
    user: str = ""
    gpu_instance: int | None = None
    """Of the MIG device that it runs on."""


@dataclass(frozen=True, slots=True)
class Xid:
    """One critical error that the driver reported while it was watched; NVIDIA's catalogue says what a code means."""

    at: float
    """Wall time [s since the epoch]."""
    code: int


@dataclass(frozen=True, slots=True)
class MigDevice:
    """One slice of a GPU in MIG mode; NVML gives no utilisation for it."""

    uuid: str
    gpu_instance: int | None = None
    compute_instance: int | None = None
    used_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, from NVML on this host or from Triton's own gauges."""

    uuid: str
    name: str = ""
    origin: str = "triton"
    """nvml, or triton for the server's own `nv_gpu_*`."""
    index: int | None = None
    """NVML's; it ignores CUDA_VISIBLE_DEVICES and may change with a reboot."""
    bus_id: str = ""
    utilization_ratio: float | None = None
    """Share of the last second or less in which a kernel ran; full is not the same as fully used."""
    memory_utilization_ratio: float | None = None
    """Share of that time in which memory was read or written."""
    used_bytes: int | None = None
    """Without what the driver reserves for itself."""
    reserved_bytes: int | None = None
    total_bytes: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    energy_j: float | None = None
    """Since the driver was loaded."""
    temperature_c: float | None = None
    slowdown_c: float | None = None
    """The hardware slows down from this temperature on."""
    memory_temperature_c: float | None = None
    sm_clock_mhz: int | None = None
    max_sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    max_memory_clock_mhz: int | None = None
    performance_state: int | None = None
    """0 is the fastest, 15 the slowest."""
    fan_ratio: float | None = None
    persistence: bool | None = None
    throttle_reasons: tuple[str, ...] = ()
    ecc_corrected: int | None = None
    """Memory errors since the driver was loaded."""
    ecc_uncorrected: int | None = None
    remapped_rows: int | None = None
    remap_pending: bool | None = None
    """Rows wait to be remapped at the next reset."""
    remap_failed: bool | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    pcie_sent_bytes_per_s: float | None = None
    """By the GPU, over 20 ms; read only on demand, since each reading takes as long."""
    pcie_received_bytes_per_s: float | None = None
    mig: bool | None = None
    mig_devices: tuple[MigDevice, ...] = ()
    xids: tuple[Xid, ...] = ()
    """The last ones since tritop began to watch, oldest first."""
    processes: tuple[GpuProcess, ...] = ()
    unseen_processes: int = 0
    """Processes in the driver's list that do not exist here: of another pid namespace, or just gone."""
    servers: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    """Names of fields that this GPU, or its driver, does not offer."""
    field_faults: tuple[tuple[str, str], ...] = ()
    """(field, why) for fields that could not be read although they are offered."""
    fault: str = ""
    """Why the whole GPU cannot be read."""
