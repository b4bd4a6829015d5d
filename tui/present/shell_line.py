"""The command that opens a shell in a container."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["shell_line", "shell_problem"]

_CONTAINER_ID = re.compile(r"[0-9a-f]{12,64}")
_BASH_OR_SH = "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi"


def shell_line(client: str, container_id: str) -> list[str]:
    """`docker exec` with a terminal, as arguments: bash where the image has it, sh otherwise.

    Args:
        client: path of the docker client.
        container_id: by id, since a name can be given to another container meanwhile.

    Raises:
        ValueError: that is no container id.
    """
    if not _CONTAINER_ID.fullmatch(container_id):
        raise ValueError(f"{container_id!r} is no container id")
    return [client, "exec", "--interactive", "--tty", container_id, "sh", "-c", _BASH_OR_SH]


def shell_problem(code: int, said: str) -> str:
    """Why there was no shell, "" where there was one: its own exit code is that of the last command typed in it.

    Args:
        code: exit code of the docker client.
        said: what the client itself wrote on stderr; what the shell writes goes to the terminal.
    """
    lines: Sequence[str] = [line.strip() for line in said.splitlines() if line.strip()]
    if code == 0 or not lines:
        return ""
    return lines[-1].removeprefix("Error response from daemon: ")
