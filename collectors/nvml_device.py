"""One GPU read through NVML into the fields of `tritop.model.Gpu`; runs in the NVML process only.

Each call is one entry of a table: it fails by itself and costs the fields that it would give. What
the calls return, in which unit and over which window, is NVIDIA's NVML API reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collectors.host_processes import HostProcesses

SLOW_S = 5.0
"""What hardly moves is read this often."""
RETRY_UNSUPPORTED_S = 30.0
"""MIG mode takes fields away and gives them back, so what is not supported is asked for again, seldom."""
NO_INSTANCE = 0xFFFFFFFF
"""GPU instance of a process that runs on no MIG device."""
MEMORY_TEMPERATURE_FIELD = 82
"""NVML_FI_DEV_MEMORY_TEMP."""

THROTTLE_WORDS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}
"""The bits of nvmlClocksEventReasons that are worth a warning; idle, chosen clocks and sync boost are not."""

Nvml = Any
"""The module pynvml, which has no types."""
Handle = Any
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of NVML and the fields that it gives."""

    fields: tuple[str, ...]
    read: Callable[[Nvml, Handle], tuple[Any, ...]]


def _utilization(nvml: Nvml, gpu: Handle) -> tuple[Any, ...]:
    rates = nvml.nvmlDeviceGetUtilizationRates(gpu)
    return rates.gpu / 100, rates.memory / 100


def _memory(nvml: Nvml, gpu: Handle) -> tuple[Any, ...]:
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2)
    except nvml.NVMLError as error:
        if error.value not in (nvml.NVML_ERROR_FUNCTION_NOT_FOUND, nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH):
            raise
        # Drivers before 510: their `used` counts what is reserved as well.
        memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
        return memory.used, None, memory.total
    return memory.used, memory.reserved, memory.total


def _temperature(nvml: Nvml, gpu: Handle) -> tuple[Any, ...]:
    try:
        return (nvml.nvmlDeviceGetTemperatureV(gpu, nvml.NVML_TEMPERATURE_GPU),)
    except AttributeError:  # a pynvml before 12.575
        pass
    except nvml.NVMLError as error:
        if error.value not in (nvml.NVML_ERROR_FUNCTION_NOT_FOUND, nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH):
            raise
    return (nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),)


def _throttle(nvml: Nvml, gpu: Handle) -> tuple[Any, ...]:
    try:
        bits = nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)
    except nvml.NVMLError as error:
        if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        bits = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)  # its name before driver 535
    return ([word for bit, word in THROTTLE_WORDS.items() if bits & bit],)


def _memory_temperature(nvml: Nvml, gpu: Handle) -> tuple[Any, ...]:
    (value,) = nvml.nvmlDeviceGetFieldValues(gpu, [MEMORY_TEMPERATURE_FIELD])
    if value.nvmlReturn:
        raise nvml.NVMLError(value.nvmlReturn)
    return (value.value.uiVal,)


def _remapped(nvml: Nvml, gpu: Handle) -> tuple[Any, ...]:
    corrected, uncorrected, pending, failed = nvml.nvmlDeviceGetRemappedRows(gpu)
    return corrected + uncorrected, bool(pending), bool(failed)


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


FAST = (
    Call(("utilization_ratio", "memory_utilization_ratio"), _utilization),
    Call(("used_bytes", "reserved_bytes", "total_bytes"), _memory),
    Call(("power_w",), lambda nvml, gpu: (nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,)),
    Call(("temperature_c",), _temperature),
    Call(("sm_clock_mhz",), lambda nvml, gpu: (nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),)),
    Call(("memory_clock_mhz",), lambda nvml, gpu: (nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM),)),
    Call(("throttle_reasons",), _throttle),
    Call(("performance_state",), lambda nvml, gpu: (nvml.nvmlDeviceGetPerformanceState(gpu),)),
)
"""Read each time."""

SLOW = (
    Call(("power_limit_w",), lambda nvml, gpu: (nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,)),
    Call(("energy_j",), lambda nvml, gpu: (nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,)),
    Call(("memory_temperature_c",), _memory_temperature),
    Call(("fan_ratio",), lambda nvml, gpu: (nvml.nvmlDeviceGetFanSpeed(gpu) / 100,)),
    Call(("persistence",), lambda nvml, gpu: (bool(nvml.nvmlDeviceGetPersistenceMode(gpu)),)),
    Call(
        ("ecc_corrected",),
        lambda nvml, gpu: (
            nvml.nvmlDeviceGetTotalEccErrors(gpu, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, nvml.NVML_VOLATILE_ECC),
        ),
    ),
    Call(
        ("ecc_uncorrected",),
        lambda nvml, gpu: (
            nvml.nvmlDeviceGetTotalEccErrors(gpu, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC),
        ),
    ),
    Call(("remapped_rows", "remap_pending", "remap_failed"), _remapped),
    Call(("pcie_generation",), lambda nvml, gpu: (nvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu),)),
    Call(("pcie_width",), lambda nvml, gpu: (nvml.nvmlDeviceGetCurrPcieLinkWidth(gpu),)),
    Call(("mig",), lambda nvml, gpu: (nvml.nvmlDeviceGetMigMode(gpu)[0] == nvml.NVML_DEVICE_MIG_ENABLE,)),
    Call(("bus_id",), lambda nvml, gpu: (_text(nvml.nvmlDeviceGetPciInfo(gpu).busId),)),
    Call(("name",), lambda nvml, gpu: (_text(nvml.nvmlDeviceGetName(gpu)),)),
    Call(("max_sm_clock_mhz",), lambda nvml, gpu: (nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),)),
    Call(("max_memory_clock_mhz",), lambda nvml, gpu: (nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_MEM),)),
    Call(
        ("slowdown_c",),
        lambda nvml, gpu: (nvml.nvmlDeviceGetTemperatureThreshold(gpu, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),),
    ),
)
"""Read every `SLOW_S`, those included that never change: a GPU that was lost at first says them later."""

PROCESS_LISTS = (
    ("compute", "nvmlDeviceGetComputeRunningProcesses"),
    ("graphics", "nvmlDeviceGetGraphicsRunningProcesses"),
    ("mps", "nvmlDeviceGetMPSComputeRunningProcesses"),
)


class Device:
    """One GPU from round to round.

    Args:
        nvml: the module.
        index: NVML's index of the GPU.

    Raises:
        NVMLError: there is no handle for it; a lost GPU gives none.
    """

    def __init__(self, nvml: Nvml, index: int) -> None:
        self._nvml = nvml
        self._index = index
        self.handle: Handle = nvml.nvmlDeviceGetHandleByIndex(index)
        self.uuid: str = _text(nvml.nvmlDeviceGetUUID(self.handle))
        self._slow: Fields = {}
        self._slow_faults: list[tuple[str, str]] = []
        self._slow_due_s = 0.0
        self._unsupported: dict[Call, float] = {}
        """Call -> when to ask again [monotonic s]."""
        self._slices: list[Slice] = []

    def read(self, processes: HostProcesses, now_s: float) -> Fields:
        """Every field, and `pids` of the processes.

        Raises:
            NVMLError: the GPU as a whole cannot be read: lost, or the driver was unloaded.
        """
        faults: list[tuple[str, str]] = []
        fields = self._call_all(FAST, faults, now_s)
        if faults and not fields:
            raise self._nvml.NVMLError(self._nvml.NVML_ERROR_UNKNOWN)
        if now_s >= self._slow_due_s:
            self._slow_faults = []
            self._slow = self._call_all(SLOW, self._slow_faults, now_s)
            self._slices = self._find_slices() if self._slow.get("mig") else []
            self._slow_due_s = now_s + SLOW_S
        listed = self._processes(faults, processes, now_s)
        return {
            "uuid": self.uuid,
            "index": self._index,
            **self._slow,
            **fields,
            **listed,
            "mig_devices": [one.read() for one in self._slices],
            "unsupported": sorted(field for call in self._unsupported for field in call.fields),
            "field_faults": [*faults, *self._slow_faults],
        }

    def _call_all(self, calls: tuple[Call, ...], faults: list[tuple[str, str]], now_s: float) -> Fields:
        fields: Fields = {}
        for call in calls:
            if self._unsupported.get(call, 0.0) > now_s:
                continue
            try:
                fields.update(zip(call.fields, call.read(self._nvml, self.handle), strict=True))
            except self._nvml.NVMLError as error:
                if is_lost(self._nvml, error):
                    raise
                if is_unsupported(self._nvml, error):
                    self._unsupported[call] = now_s + RETRY_UNSUPPORTED_S
                    continue
                faults += [(field, words_of(self._nvml, error)) for field in call.fields]
            self._unsupported.pop(call, None)
        return fields

    def _processes(self, faults: list[tuple[str, str]], processes: HostProcesses, now_s: float) -> Fields:
        """The processes of the GPU and of its slices, each once, and what the host knows of them."""
        found: dict[tuple[int, int | None], Fields] = {}
        for handle in (self.handle, *(one.handle for one in self._slices)):
            for kind, name in PROCESS_LISTS:
                try:
                    listed = getattr(self._nvml, name)(handle)
                except self._nvml.NVMLError as error:
                    if is_lost(self._nvml, error):
                        raise
                    fault = ("processes", words_of(self._nvml, error))
                    if not is_unsupported(self._nvml, error) and fault not in faults:
                        faults.append(fault)
                    continue
                for one in listed:
                    _add(found, one, kind)
        known: dict[int, Fields] = {}
        unseen: set[int] = set()
        for pid, _ in found:
            host = processes.look_up(pid, now_s)
            if host is None:
                unseen.add(pid)
            else:
                known[pid] = host
        seen = [process for (pid, _), process in found.items() if pid in known]
        return {"processes": seen, "unseen_processes": len(unseen), "known": list(known.values())}

    def _find_slices(self) -> list[Slice]:
        nvml, found = self._nvml, []
        try:
            most = nvml.nvmlDeviceGetMaxMigDeviceCount(self.handle)
        except nvml.NVMLError:
            return []
        for number in range(most):
            try:
                handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(self.handle, number)
                found.append(Slice(nvml, handle))
            except nvml.NVMLError:  # an empty place, or a slice that is being taken away
                continue
        return found


class Slice:
    """One MIG device.

    Raises:
        NVMLError: it is gone.
    """

    def __init__(self, nvml: Nvml, handle: Handle) -> None:
        self._nvml = nvml
        self.handle = handle
        self._identity: Fields = {
            "uuid": _text(nvml.nvmlDeviceGetUUID(handle)),
            "gpu_instance": self._or_none("nvmlDeviceGetGpuInstanceId"),
            "compute_instance": self._or_none("nvmlDeviceGetComputeInstanceId"),
        }

    def read(self) -> Fields:
        """The fields of `tritop.model.MigDevice`."""
        try:
            used, _, total = _memory(self._nvml, self.handle)
        except self._nvml.NVMLError:
            used = total = None
        return {**self._identity, "used_bytes": used, "total_bytes": total}

    def _or_none(self, name: str) -> int | None:
        try:
            number: int = getattr(self._nvml, name)(self.handle)
        except self._nvml.NVMLError:
            return None
        return number


def _add(found: dict[tuple[int, int | None], Fields], one: Any, kind: str) -> None:
    """Add a process of a list to those found; the same process may be in several lists."""
    instance = getattr(one, "gpuInstanceId", None)
    instance = None if instance == NO_INSTANCE else instance
    known = found.get((one.pid, instance))
    if known is None:
        found[one.pid, instance] = {
            "pid": one.pid,
            "used_bytes": one.usedGpuMemory,
            "kind": kind,
            "gpu_instance": instance,
        }
        return
    if kind not in known["kind"].split("+"):
        known["kind"] += f"+{kind}"
    if known["used_bytes"] is None:
        known["used_bytes"] = one.usedGpuMemory


def is_unsupported(nvml: Nvml, error: Any) -> bool:
    """Whether the GPU or its driver does not offer what was asked."""
    return error.value in {
        nvml.NVML_ERROR_NOT_SUPPORTED,
        nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    }


def is_lost(nvml: Nvml, error: Any) -> bool:
    """Whether the GPU itself is gone, or NVML is."""
    lost = (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED, nvml.NVML_ERROR_GPU_NOT_FOUND)
    return error.value in lost or is_uninitialized(nvml, error)


def is_uninitialized(nvml: Nvml, error: Any) -> bool:
    """Whether the driver was unloaded under us: every handle is void, and only a new start helps."""
    return error.value in (nvml.NVML_ERROR_UNINITIALIZED, nvml.NVML_ERROR_DRIVER_NOT_LOADED)


def words_of(nvml: Nvml, error: Any) -> str:
    """An error in words that fit a cell."""
    words = {
        nvml.NVML_ERROR_GPU_IS_LOST: "the GPU is lost: it fell off the bus or the driver gave it up",
        nvml.NVML_ERROR_RESET_REQUIRED: "the GPU must be reset before it works again",
        nvml.NVML_ERROR_NO_PERMISSION: "not permitted for this user",
        nvml.NVML_ERROR_UNKNOWN: "the driver says unknown error",
    }
    return words.get(error.value) or f"{error} (NVML error {error.value})"
