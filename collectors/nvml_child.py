"""The NVML process: `python -m collectors.nvml_child`, for `collectors.nvml`.

NVML has blocked for ever and has crashed its process on a lost GPU, so it is used in a process of
its own. It reads one command a line from stdin, `{"read": 7, "pcie": false}`, and answers each with
one line: `{"read": 7, "driver": ..., "gpus": [...], "processes": [...]}` or `{"read": 7, "fault":
{...}}`. It ends when its stdin does, whatever NVML is doing then, and never calls nvmlShutdown,
which has crashed when another thread was inside a call.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import queue
import threading
import time
import warnings
from collections import deque
from typing import Any, BinaryIO

from collectors.host_processes import HostProcesses
from collectors.nvml_device import Device, Fields, Nvml, is_lost, is_uninitialized, words_of

EVENT_WAIT_MS = 5000
EVENT_RETRY_S = 5.0
"""After an error other than a time-out, which may come back at once for ever."""
MAX_XIDS = 8
LOST_RETRY_S = 5.0
"""A handle of a lost GPU is not used again; a new one is asked for this often."""
_CHUNK_BYTES = 65536


class Commands:
    """Lines of stdin, read on a thread that ends the process when there are no more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.queue: queue.SimpleQueue[Fields] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="commands", daemon=True).start()

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self._descriptor, _CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.queue.put(json.loads(line))
        os._exit(0)


class XidWatch:
    """Waits for critical errors of the GPUs on a thread and keeps the last of each."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._lock = threading.Lock()
        self._seen: dict[str, deque[tuple[float, int]]] = {}
        self._uuids: dict[int, str] = {}
        """Address of a handle -> uuid of its GPU."""
        self._events: Any = None

    def add(self, device: Device) -> None:
        """Watch one more GPU; one that has no such events is simply not heard of."""
        nvml = self._nvml
        try:
            if self._events is None:
                self._events = nvml.nvmlEventSetCreate()
                threading.Thread(target=self._wait, name="xid", daemon=True).start()
            nvml.nvmlDeviceRegisterEvents(device.handle, nvml.nvmlEventTypeXidCriticalError, self._events)
        except nvml.NVMLError:
            return
        with self._lock:
            self._uuids[_address(device.handle)] = device.uuid

    def of(self, uuid: str) -> list[tuple[float, int]]:
        """(wall time, code) of the last errors of a GPU, oldest first."""
        with self._lock:
            return list(self._seen.get(uuid, ()))

    def _wait(self) -> None:
        nvml = self._nvml
        while True:
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, EVENT_WAIT_MS)
            except nvml.NVMLError as error:
                if error.value != nvml.NVML_ERROR_TIMEOUT:
                    time.sleep(EVENT_RETRY_S)
                continue
            with self._lock:
                uuid = self._uuids.get(_address(event.device))
                if uuid is not None:
                    self._seen.setdefault(uuid, deque(maxlen=MAX_XIDS)).append((time.time(), event.eventData))


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


class PcieMeter:
    """Measures PCIe throughput on a thread, once for each time it is asked to: NVML takes 20 ms a direction."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._due = threading.Event()
        self._devices: tuple[Device, ...] = ()
        self._measured: dict[str, Fields] = {}
        self._thread: threading.Thread | None = None

    def measure(self, devices: tuple[Device, ...]) -> dict[str, Fields]:
        """Begin a measurement, and return what the last one found for each uuid."""
        self._devices = devices
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pcie", daemon=True)
            self._thread.start()
        self._due.set()
        return self._measured

    def forget(self) -> None:
        """Old figures are worth nothing once nobody asks for new ones."""
        self._measured = {}

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            self._measured = {device.uuid: self._of(device) for device in self._devices}

    def _of(self, device: Device) -> Fields:
        nvml = self._nvml
        sides = (
            ("pcie_sent_bytes_per_s", nvml.NVML_PCIE_UTIL_TX_BYTES),
            ("pcie_received_bytes_per_s", nvml.NVML_PCIE_UTIL_RX_BYTES),
        )
        found: Fields = {}
        for field, side in sides:
            try:
                # NVML's KB are 1024 bytes, as its own tools count them.
                found[field] = nvml.nvmlDeviceGetPcieThroughput(device.handle, side) * 1024
            except nvml.NVMLError:
                continue
        return found


class Gpus:
    """All GPUs of the host from round to round.

    Args:
        nvml: the module, initialised.
    """

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._devices: list[Device | None] = []
        self._lost: list[tuple[float, str]] = []
        """(when to ask for a handle again, why there is none) for each index."""
        self._identities: dict[int, Fields] = {}
        """Index -> what a GPU was when it could be read last."""
        self._processes = HostProcesses()
        self._xids = XidWatch(nvml)
        self._pcie = PcieMeter(nvml)
        self.driver: str = nvml.nvmlSystemGetDriverVersion()

    def read(self, *, pcie: bool, now_s: float) -> Fields:
        """One answer.

        Raises:
            NVMLError: NVML as a whole is gone; this process is of no use any more.
        """
        count = self._nvml.nvmlDeviceGetCount()
        if count != len(self._devices):
            self._devices = [None] * count
            self._lost = [(0.0, "")] * count
        rows = [self._row(index, now_s) for index in range(count)]
        self._processes.forget_unused()
        known = {process["pid"]: process for row in rows for process in row.pop("known", ())}
        if pcie:
            measured = self._pcie.measure(tuple(device for device in self._devices if device is not None))
            for row in rows:
                row.update(measured.get(row["uuid"], {}))
        else:
            self._pcie.forget()
        for row in rows:
            row["xids"] = self._xids.of(row["uuid"])
        return {"driver": self.driver, "gpus": rows, "processes": list(known.values())}

    def _row(self, index: int, now_s: float) -> Fields:
        device = self._devices[index]
        try:
            if device is None:
                retry_s, _ = self._lost[index]
                if now_s < retry_s:
                    return self._lost_row(index)
                device = self._devices[index] = Device(self._nvml, index)
                self._xids.add(device)
            row = device.read(self._processes, now_s)
        except self._nvml.NVMLError as error:
            if is_uninitialized(self._nvml, error):
                raise
            self._devices[index] = None
            self._lost[index] = (now_s + LOST_RETRY_S, words_of(self._nvml, error))
            return self._lost_row(index)
        kept = ("uuid", "index", "name", "bus_id", "total_bytes")
        self._identities[index] = {name: row[name] for name in kept if name in row}
        return row

    def _lost_row(self, index: int) -> Fields:
        known = self._identities.get(index, {"uuid": f"unknown-{index}", "index": index})
        return {**known, "fault": self._lost[index][1]}


class InitFault(Exception):
    """NVML cannot be used here.

    Args:
        kind: absent, denied or failed.
        sentence: what is wrong.
        advice: what to do.
    """

    def __init__(self, kind: str, sentence: str, advice: str) -> None:
        super().__init__(sentence)
        self.fields = {"kind": kind, "sentence": sentence, "advice": advice}


def load_nvml() -> Nvml:
    """The module pynvml of nvidia-ml-py.

    Raises:
        InitFault: it is not there, or another package is in its place.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)  # of `pynvml` 13, which only wraps nvidia-ml-py
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        raise InitFault("absent", "The package nvidia-ml-py is not installed.", "pip install nvidia-ml-py") from None
    # The deprecated package `pynvml` before 12 installs a folder, which Python prefers to the module.
    if hasattr(nvml, "__path__") or not hasattr(nvml, "nvmlMemory_v2"):
        raise InitFault(
            "failed",
            "An old package `pynvml` hides nvidia-ml-py.",
            "pip uninstall pynvml, then pip install --force-reinstall nvidia-ml-py",
        )
    return nvml


def open_nvml(nvml: Nvml) -> Gpus:
    """Initialise NVML.

    Raises:
        InitFault: it refuses, in words.
    """
    try:
        nvml.nvmlInit()
        return Gpus(nvml)
    except nvml.NVMLError as error:
        raise _init_fault(nvml, error) from None


def _init_fault(nvml: Nvml, error: Any) -> InitFault:
    words = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
            "absent",
            "There is no NVIDIA driver on this host: libnvidia-ml.so.1 is not found.",
            "Install the driver; in a container, start it with --gpus all.",
        ),
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: (
            "absent",
            "The NVIDIA driver is installed and its kernel module is not loaded.",
            "Load it: modprobe nvidia",
        ),
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
            "failed",
            "The NVIDIA driver was changed and the kernel module of the old one still runs.",
            "Restart the host, or unload and load the nvidia modules.",
        ),
        nvml.NVML_ERROR_NO_PERMISSION: (
            "denied",
            "This user may not use the NVIDIA driver.",
            "Look at the permissions of /dev/nvidiactl.",
        ),
    }
    kind, sentence, advice = words.get(
        error.value, ("failed", f"NVML does not start: {words_of(nvml, error)}.", "Does nvidia-smi work?")
    )
    return InitFault(kind, sentence, advice)


def serve(commands: Commands, out: BinaryIO) -> None:
    """Answer commands until NVML is of no use any more."""

    def answer(command: Fields, fields: Fields) -> None:
        out.write(json.dumps({"read": command.get("read"), **fields}, separators=(",", ":")).encode() + b"\n")
        out.flush()

    command = commands.queue.get()
    try:
        nvml = load_nvml()
        gpus = open_nvml(nvml)
    except InitFault as fault:
        answer(command, {"fault": fault.fields})
        return
    while True:
        try:
            fields = gpus.read(pcie=bool(command.get("pcie")), now_s=time.monotonic())
        except nvml.NVMLError as error:
            answer(command, {"fault": _round_fault(nvml, error)})
            return
        answer(command, fields)
        command = commands.queue.get()


def _round_fault(nvml: Nvml, error: Any) -> Fields:
    if is_lost(nvml, error):
        return {"kind": "failed", "sentence": "The NVIDIA driver went away.", "advice": "tritop looks for it again."}
    return {"kind": "failed", "sentence": f"NVML failed: {words_of(nvml, error)}.", "advice": "Does nvidia-smi work?"}


def main() -> None:
    """Serve stdin on stdout, and give libraries that print another place to print to."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(Commands(0), out)


if __name__ == "__main__":
    main()
    os._exit(0)  # not past the threads that may be inside NVML
