"""Request headers: names in the open, values only by reference, so that no secret is ever written down twice."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritop.errors import UsageError

_NAME = re.compile(r"[0-9a-z_.-]+")


@dataclass(frozen=True, slots=True)
class HeaderReference:
    """A header whose value is elsewhere: `env:VARIABLE` or `file:PATH`."""

    name: str
    """Lower case, as gRPC metadata are."""
    reference: str
    """Where the value is; safe to show."""

    def resolve(self, environ: Mapping[str, str]) -> str:
        """Fetch the value.

        Raises:
            UsageError: it is not there, or cannot be sent as a header. The value itself is never quoted.
        """
        kind, _, place = self.reference.partition(":")
        value = self._from_environment(environ, place) if kind == "env" else self._from_file(place)
        if not value.isascii() or not value.isprintable():
            raise UsageError(
                f"the value of the header {self.name}, from {self.reference}, cannot be sent: "
                "it holds characters other than printable ASCII.",
                "Check it for a line break at its end or in its middle.",
            )
        return value

    def _from_environment(self, environ: Mapping[str, str], variable: str) -> str:
        value = environ.get(variable, "")
        if not value:
            raise UsageError(
                f"the header {self.name} takes its value from the environment variable {variable}, which is not set.",
                f"Set it first: export {variable}=...",
            )
        return value.strip()

    def _from_file(self, path: str) -> str:
        try:
            return Path(path).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UsageError(
                f"the header {self.name} takes its value from {path}, which cannot be read: {reason}.",
                "Name a file that this user may read and that holds the value alone.",
            ) from error


def header_reference(name: str, reference: str, where: str) -> HeaderReference:
    """Check one header; `where` names the flag or the file for the error.

    Raises:
        UsageError: the name is not one that gRPC can send, or the value is a literal.
    """
    lowered = name.strip().lower()
    if not _NAME.fullmatch(lowered) or lowered.startswith("grpc-") or lowered.endswith("-bin"):
        raise UsageError(
            f"{name!r} in {where} is no header that can be sent over gRPC.",
            "Names are of letters, digits, - _ and . and neither begin with grpc- nor end with -bin.",
        )
    kind, colon, place = reference.partition(":")
    if kind not in ("env", "file") or not colon or not place:
        raise UsageError(
            f"the value of the header {lowered} in {where} is refused: "
            "command lines and config files are read by others, so secrets are given by reference only.",
            f"Write {lowered}=env:VARIABLE or {lowered}=file:PATH.",
        )
    return HeaderReference(lowered, reference)


def header_flag(text: str) -> HeaderReference:
    """Read the argument of `--header`: NAME=env:VARIABLE or NAME=file:PATH.

    Raises:
        UsageError: as `header_reference`, or there is no `=`.
    """
    name, equals, reference = text.partition("=")
    if not equals:
        raise UsageError(
            "--header wants NAME=env:VARIABLE or NAME=file:PATH.", "Headers take their value by reference."
        )
    return header_reference(name, reference, "--header")


def state_of(reference: HeaderReference) -> str:
    """Whether the value is there, for showing: `set`, `not set`, `readable` or `not readable`."""
    kind, _, place = reference.reference.partition(":")
    if kind == "env":
        return "set" if os.environ.get(place) else "not set"
    return "readable" if os.access(Path(place).expanduser(), os.R_OK) else "not readable"
