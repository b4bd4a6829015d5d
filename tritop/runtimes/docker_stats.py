"""What one container uses, as the engine tells once a second; read in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

from tritop.runtimes.docker_client import open_client
from tritop.runtimes.docker_errors import EngineFailure, caught

_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 15.0


class DockerStats:
    """Follows the statistics of one container until it is closed; fulfils `collectors.containers.StatsStream`.

    Args:
        address: of the engine.
        container_id: the container.
    """

    def __init__(self, address: str, container_id: str) -> None:
        self._address = address
        self._container_id = container_id
        self._newest: tuple[float, Mapping[str, Any]] | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._run, name=f"docker stats {container_id[:12]}", daemon=True).start()

    def newest(self) -> tuple[float, Mapping[str, Any]] | None:
        """When the newest sample came [monotonic s] and its document; `None` before the first one."""
        return self._newest

    def close(self) -> None:
        """End the thread, which sees it with its next sample; returns at once."""
        self._closed.set()

    def _run(self) -> None:
        retry_s = _FIRST_RETRY_S
        while not self._closed.is_set():
            # An engine that is lost is told of by whoever lists its containers; here it only means: try again.
            with contextlib.suppress(EngineFailure, *caught()):
                self._follow()
                retry_s = _FIRST_RETRY_S
            self._closed.wait(retry_s)
            retry_s = min(_LAST_RETRY_S, retry_s * 2)

    def _follow(self) -> None:
        client = open_client(self._address)
        try:
            for sample in client.api.stats(self._container_id, stream=True, decode=True):
                if self._closed.is_set():
                    return
                self._newest = (time.monotonic(), sample)
        finally:
            client.close()
