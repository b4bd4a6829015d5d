"""Servers on this host: what runs here by its command line, and who answers on Triton's usual ports.

Nothing is sent to a server but the 24 bytes that open every HTTP/2 connection, and only on port
8001, to tell gRPC from whatever else may listen there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritop.target import GRPC_PORT, HTTP_PORT, METRICS_PORT, Target

_PROBE_TIMEOUT_S = 0.5
"""Waited only for a port that is open and silent; a busy Triton may need some of it, a closed port none."""
_HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""Connection preface and an empty SETTINGS frame (RFC 9113, 3.4)."""
_SETTINGS_FRAME = 4


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found on this host, and what was tried."""

    targets: tuple[Target, ...] = ()
    tried: tuple[str, ...] = ()
    """One sentence for each place looked at, for when nothing was found."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running `tritonserver` and what its command line says about its ports."""

    pid: int
    target: Target
    same_network: bool
    """Whether its ports are ports of this host: False in a container with a network of its own."""
    control_mode: str = "none"
    """`--model-control-mode`, of which `none` is the default."""
    repositories: tuple[str, ...] = ()
    """Its folders with models that are those of this host too: none in a container with files of its own."""


def discover(proc: Path = Path("/proc"), host: str = "127.0.0.1") -> Discovery:
    """Look for Triton on this host; takes milliseconds unless something listens and says nothing.

    Args:
        proc: where the process file system is mounted.
        host: the address whose usual ports are asked.
    """
    targets: list[Target] = []
    tried: list[str] = []
    processes = list(running_servers(proc))
    for process in processes:
        if process.same_network:
            targets.append(process.target)
        else:
            tried.append(
                f"tritonserver, process {process.pid}: its ports belong to another network, probably a container's"
            )
    if not processes:
        tried.append("processes: no tritonserver among those that this user may see")
    if not any(target.grpc_port == GRPC_PORT for target in targets):
        sentence, answers = _ask_grpc(host, GRPC_PORT)
        tried.append(sentence)
        if answers:
            targets.append(Target(host, GRPC_PORT, HTTP_PORT, f"http://{host}:{METRICS_PORT}/metrics"))
    return Discovery(tuple(targets), tuple(tried))


def running_servers(proc: Path) -> Iterator[ServerProcess]:
    """Every `tritonserver` process that this user may see, by process number."""
    own_network, own_files = _namespace_of(proc / "self", "net"), _namespace_of(proc / "self", "mnt")
    for folder in sorted(_process_folders(proc), key=lambda folder: int(folder.name)):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if os.path.basename(command[0]) != "tritonserver":
            continue
        target = target_of_command(command[1:])
        if target is not None:
            network = _namespace_of(folder, "net")
            flags = list(_flags(command[1:]))
            mode = dict(flags).get("--model-control-mode", "none").lower()
            repositories = tuple(_folders(folder, flags, own_files))
            yield ServerProcess(int(folder.name), target, network in (None, own_network), mode, repositories)


def server_at(grpc_port: int, proc: Path = Path("/proc")) -> ServerProcess | None:
    """The `tritonserver` of this host at a port, `None` where there is none that this user may see."""
    for process in running_servers(proc):
        if process.same_network and process.target.grpc_port == grpc_port:
            return process
    return None


def target_of_command(arguments: Sequence[str]) -> Target | None:
    """Where a server with these command-line arguments listens; `None` where gRPC is switched off."""
    flags = dict(_flags(arguments))
    if flags.get("--allow-grpc", "true").lower() in ("false", "0"):
        return None
    host = _reachable(flags.get("--grpc-address", ""))
    metrics_host = _reachable(flags.get("--metrics-address") or flags.get("--http-address", ""))
    metrics = flags.get("--allow-metrics", "true").lower() not in ("false", "0")
    metrics_port = _port(flags.get("--metrics-port"), METRICS_PORT)
    return Target(
        host=host,
        grpc_port=_port(flags.get("--grpc-port"), GRPC_PORT),
        http_port=_port(flags.get("--http-port"), HTTP_PORT),
        metrics_url=f"http://{_in_url(metrics_host)}:{metrics_port}/metrics" if metrics else "",
        tls=flags.get("--grpc-use-ssl", "false").lower() in ("true", "1"),
    )


def _process_folders(proc: Path) -> Iterable[Path]:
    try:
        return [folder for folder in proc.iterdir() if folder.name.isdecimal()]
    except OSError:
        return []


def _namespace_of(folder: Path, kind: str) -> str | None:
    """Name of a process's namespace (namespaces(7)); `None` where this user may not see it."""
    try:
        return os.readlink(folder / "ns" / kind)
    except OSError:
        return None


def _folders(folder: Path, flags: Iterable[tuple[str, str]], own_files: str | None) -> Iterator[str]:
    """Repositories on a command line, where its paths mean the same here; relative ones count from its folder."""
    if own_files is None or _namespace_of(folder, "mnt") != own_files:
        return
    for flag, value in flags:
        if flag in ("--model-repository", "--model-store") and "://" not in value:
            try:
                yield os.path.join(os.readlink(folder / "cwd"), value)
            except OSError:
                return


def _flags(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`--flag=value` and `--flag value`, the two spellings that tritonserver accepts."""
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if equals:
            yield flag, value
        elif flag.startswith("--") and index + 1 < len(arguments):
            yield flag, arguments[index + 1]


def _port(text: str | None, usual: int) -> int:
    return int(text) if text is not None and text.isdecimal() and 0 < int(text) < 65536 else usual


def _reachable(address: str) -> str:
    """The address to connect to for an address that a server listens on."""
    return "127.0.0.1" if address in ("", "0.0.0.0", "::", "[::]") else address.strip("[]")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _ask_grpc(host: str, port: int) -> tuple[str, bool]:
    """What happened at a port, and whether gRPC answers there."""
    place = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=_PROBE_TIMEOUT_S) as connection:
            connection.sendall(_HTTP2_OPENING)
            answer = connection.recv(9)
    except ConnectionRefusedError:
        return f"{place}: nobody listens", False
    except TimeoutError:
        return f"{place}: something listens and does not answer as gRPC; with TLS give grpcs://{place}", False
    except OSError as error:
        return f"{place}: {error.strerror or error}", False
    if len(answer) >= 4 and answer[3] == _SETTINGS_FRAME:
        return f"{place}: gRPC answers", True
    return f"{place}: something answers that is not gRPC", False
