"""How an embedded Triton is run: its command line, its variables, and what is removed after it."""

from __future__ import annotations

import os
import shlex
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tritop.runtimes.embedded import EmbeddedTriton, inherited_environment
from tritop.runtimes.guarded import Order
from tritop.server_spec import HOST, Ports

EXIT_TIMEOUT_S = 5
_SHM_BYTES = 1024 * 1024
"""Shared memory of one Python-backend instance at its start; it grows by as much."""


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """What stays the same over all starts of one embedded server."""

    repository: Path
    arguments: tuple[str, ...] = ()
    """Further arguments of tritonserver; they win over ours where both give one."""
    environment: dict[str, str] = field(default_factory=dict)
    log_path: Path | None = None
    """`None` is a file in the private folder of each run."""
    log_bytes: int = 16 * 1024 * 1024
    remove_at_end: tuple[Path, ...] = ()

    def offers(self, service: str) -> bool:
        """Whether http or metrics was not switched off."""
        return not {f"--allow-{service}=false", f"--allow-{service}=0"} & set(self.arguments)

    def order(self, triton: EmbeddedTriton, folder: Path, ports: Ports) -> tuple[Order, str]:
        """What the guardian of one run is told, and the shell command line that does the same.

        Args:
            triton: the files of the server.
            folder: private to the run.
            ports: that it is to listen on.

        Raises:
            OSError: the folder cannot be written.
        """
        shm_prefix = f"tritop-{uuid.uuid4().hex[:12]}-"
        command = (
            str(triton.binary),
            f"--model-repository={self.repository}",
            "--model-control-mode=explicit",
            f"--backend-directory={triton.arrange_backends(folder)}",
            f"--cache-directory={triton.caches}",
            f"--http-address={HOST}",
            f"--http-port={ports.http}",
            f"--grpc-address={HOST}",
            f"--grpc-port={ports.grpc}",
            f"--metrics-address={HOST}",
            f"--metrics-port={ports.metrics}",
            "--metrics-interval-ms=1000",
            "--exit-on-error=false",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            f"--backend-config=python,shm-default-byte-size={_SHM_BYTES}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
            *self.arguments,
        )
        variables = self._variables(triton.environment(triton.arrange_interpreter(folder)))
        order = Order(
            command=command,
            environment=inherited_environment() | variables,
            log_path=self.log_path or folder / "tritonserver.log",
            log_bytes=self.log_bytes,
            shm_prefix=shm_prefix,
            folder=folder,
            leftovers=self.remove_at_end,
        )
        return order, shlex.join(("env", *(f"{name}={value}" for name, value in variables.items()), *command))

    def _variables(self, needed: dict[str, str]) -> dict[str, str]:
        """What is added to the environment.

        One thread for each instance's linear algebra: instances and the traffic share the cores,
        and `instance_group` is the knob for parallelism.
        """
        threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        return needed | {name: os.environ.get(name, "1") for name in threads} | self.environment
