"""Every error that tritop raises on purpose: what happened, to what, and what to do next.

```
TritopError
├── UsageError                  the command line or the config file is wrong          exit 2
├── ReadError                   a source could not be read; `live` turns it into a Fault
│   ├── Unreachable             nobody answers at that address                        exit 3
│   ├── TimedOut                somebody accepted the connection and then said nothing
│   ├── NotTriton               something answered, but not what Triton would say
│   ├── AccessDenied            TLS, credentials or a restricted protocol are in the way
│   ├── Garbled                 the answer is cut off, too large or not decodable
│   ├── Unavailable             the source exists and is switched off (metrics off, no driver)
│   └── Stopping                the server said that it is shutting down
├── RuntimeFailure              a server could not be started, stopped or found       exit 1
└── OperationFailed             a change was refused or did not happen                exit 1
```
"""

from __future__ import annotations


class TritopError(Exception):
    """An error that a person can act on.

    Args:
        sentence: what happened, and to what, in one sentence without a trailing newline.
        advice: what to do next, or "" where there is nothing to advise.
    """

    title = "error"
    """Two or three words that fit a status strip."""
    exit_code = 1
    """What the process exits with when this error ends it (design section 8)."""

    def __init__(self, sentence: str, advice: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.sentence} {self.advice}".rstrip()


class UsageError(TritopError):
    """The command line, an environment variable or the config file cannot be used."""

    title = "usage"
    exit_code = 2


class ReadError(TritopError):
    """A source could not be read. Raised by collectors only."""

    title = "not read"


class Unreachable(ReadError):
    """Nobody answers at the address: refused, no route, unknown host."""

    title = "unreachable"
    exit_code = 3


class TimedOut(ReadError):
    """The connection stands and no complete answer came in time."""

    title = "no answer"
    exit_code = 3


class NotTriton(ReadError):
    """Something answered, but not what Triton would say."""

    title = "not Triton"
    exit_code = 3


class AccessDenied(ReadError):
    """TLS, credentials or a restricted protocol are in the way."""

    title = "access denied"
    exit_code = 3


class Garbled(ReadError):
    """The answer is cut off, larger than its bound, or cannot be decoded."""

    title = "garbled"


class Unavailable(ReadError):
    """The source is known and switched off, so there is nothing to read from it."""

    title = "off"


class Stopping(ReadError):
    """The server answers that it is shutting down: it will be gone in a moment, and not by a crash."""

    title = "stopping"
    exit_code = 3


class RuntimeFailure(TritopError):
    """A server could not be started, stopped or found where it should run."""

    title = "server"


class OperationFailed(TritopError):
    """A change that the operator asked for was refused or did not take effect."""

    title = "not changed"
