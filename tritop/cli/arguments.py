"""Arguments: the options that every verb shares, and the way from a command line to its verb."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NoReturn

from tritop.cli.commands import Command, command, command_names
from tritop.config.options import OPTION_BY_KEY
from tritop.errors import UsageError

DEFAULT_VERB = "watch"

_SHARED_HELP = "Shared options may stand before the verb. Settings can be kept in a file: see tritop info."


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are UsageErrors and name the nearest option."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        sentence, advice = message, f"See {self.prog} --help"
        unknown = message.removeprefix("unrecognized arguments: ").split(" ")[0]
        if unknown != message.split(" ", maxsplit=1)[0] and unknown.startswith("-"):
            import difflib

            near = difflib.get_close_matches(unknown.partition("=")[0], self._option_string_actions, n=1)
            sentence = f"there is no option {unknown} for {self.prog}"
            advice = f"Did you mean {near[0]}? {advice}" if near else advice
        raise UsageError(f"{sentence.rstrip('.')}.", advice)


def parse(arguments: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """Find the verb and read its arguments.

    Raises:
        UsageError: the command line cannot be used.
        SystemExit: after --help or --version.
    """
    name, rest = split_verb(arguments)
    found = command(name)
    if not found.rest:
        return found, verb_parser(found).parse_intermixed_args(rest)
    # argparse would take an argument after `--` for one of its own words.
    end = rest.index("--") if "--" in rest else len(rest)
    namespace = verb_parser(found).parse_intermixed_args(rest[:end])
    setattr(namespace, found.rest, rest[end + 1 :])
    return found, namespace


def split_verb(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The verb and everything else: the first argument that is no option, if that is a verb."""
    verbs = command_names()
    if arguments and arguments[0] in verbs:
        return arguments[0], list(arguments[1:])
    shared = Parser(prog="tritop", add_help=False, allow_abbrev=False)
    add_all(shared)
    shared.add_argument("words", nargs="*")
    before = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    words = shared.parse_known_intermixed_args(before)[0].words
    if words and words[0] in verbs:
        rest = list(arguments)
        rest.remove(words[0])
        return words[0], rest
    return DEFAULT_VERB, list(arguments)


def verb_parser(found: Command) -> Parser:
    """The whole parser of one verb."""
    default = found.name == DEFAULT_VERB
    parser = Parser(
        prog="tritop" if default else f"tritop {found.name}",
        usage=found.usage or None,
        description=found.description or found.summary,
        epilog=verbs_epilog() if default else _SHARED_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    found.add_arguments(parser)
    return parser


def verbs_epilog() -> str:
    """What `tritop --help` says about the other verbs."""
    others = [command(name) for name in command_names() if name != DEFAULT_VERB]
    width = max(len(other.name) for other in others)
    lines = [f"  {other.name:{width}}  {other.summary}" for other in others]
    return "\n".join(
        [
            "verbs:",
            *lines,
            "",
            "TARGET: gpu-box, gpu-box:8001, grpcs://gpu-box:8001, http://gpu-box:8002/metrics, [::1]:8001,",
            "  gpu-box?metrics=9002, or a name from the config file. Without one, this host is searched.",
            "exit: 0 fine, 1 unhealthy or failed, 2 usage, 3 unreachable.",
            "over SSH: ssh gpu-box -t tritop",
        ]
    )


def full_parser() -> argparse.ArgumentParser:
    """One parser with every verb below it, for completion scripts."""
    root = Parser(prog="tritop", description=command(DEFAULT_VERB).summary, allow_abbrev=False)
    add_all(root)
    root.add_argument("-V", "--version", action="store_true", help="print the version")
    verbs = root.add_subparsers(dest="verb")
    for name in command_names():
        found = command(name)
        found.add_arguments(verbs.add_parser(name, help=found.summary, description=found.summary))
    return root


def add_all(parser: argparse.ArgumentParser) -> None:
    """Every shared option that means the same everywhere."""
    add_targets(parser, positional=False)
    add_connection(parser)
    add_repository(parser)
    add_interval(parser)
    add_output(parser, stream=True)
    add_screen(parser)
    parser.add_argument("--config", metavar="FILE", help="config file, TOML")


def add_targets(parser: argparse.ArgumentParser, *, positional: bool = True) -> None:
    """TARGET... and its other spelling."""
    if positional:
        parser.add_argument("targets", metavar="TARGET", nargs="*", help="address or configured name; none: this host")
    parser.add_argument("-u", "--url", metavar="TARGET", action="append", default=[], help="the same as TARGET")


def add_connection(parser: argparse.ArgumentParser, *, metrics: bool = True) -> None:
    """How to be let in and, for those who read them, where metrics are."""
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--header",
        metavar="NAME=env:VARIABLE",
        action="append",
        help="send a header with each gRPC call; its value by reference only, or NAME=file:PATH",
    )
    _switch(group, "tls", "--tls")
    for key in ("tls_ca", "tls_cert", "tls_key"):
        group.add_argument(OPTION_BY_KEY[key].flag, metavar="FILE", help=OPTION_BY_KEY[key].help)
    group.add_argument("--tls-server-name", metavar="NAME", help=OPTION_BY_KEY["tls_server_name"].help)
    if metrics:
        place = group.add_mutually_exclusive_group()
        place.add_argument("--metrics-url", dest="metrics", metavar="URL", help="default: the port after gRPC's")
        place.add_argument("--no-metrics", dest="metrics", action="store_const", const="off", help="read no metrics")


def add_repository(parser: argparse.ArgumentParser) -> None:
    """Where the models of the server are, for what reads or writes their config files."""
    parser.add_argument(
        "--repository",
        metavar="DIR",
        action="append",
        help="a model repository of the server as seen from here; may be repeated; default: what its command line says",
    )


def add_interval(parser: argparse.ArgumentParser) -> None:
    """How often to read."""
    parser.add_argument(
        "-d", "-i", "--interval", metavar="SECONDS", help="seconds between two readings, 0.25 to 60; default 1"
    )


def add_output(parser: argparse.ArgumentParser, *, stream: bool) -> None:
    """What comes out instead of a screen."""
    group = parser.add_argument_group("output without a screen")
    group.add_argument(
        "-1", "--once", action="store_true", help="print one table after one interval, the window of its rates"
    )
    formats = group.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print one JSON object; means --once")
    if stream:
        formats.add_argument("--ndjson", action="store_true", help="print one JSON object a line, one each interval")


def add_screen(parser: argparse.ArgumentParser) -> None:
    """How the screen looks."""
    group = parser.add_argument_group("screen")
    group.add_argument("--theme", metavar="NAME", help=OPTION_BY_KEY["theme"].help)
    _switch(group, "ascii", "--ascii")
    _switch(group, "color", "--no-color", value=False, text="use no colours; NO_COLOR does the same")
    _switch(group, "mouse", "--no-mouse", value=False, text="leave the mouse to the terminal")
    _switch(group, "low_bandwidth", "--low-bandwidth", text="paint less often; chosen by itself over SSH")
    _switch(group, "read_only", "--read-only", "--readonly")


def add_general(parser: argparse.ArgumentParser) -> None:
    """The config file and the version, which `traffic` has another meaning for."""
    from tritop import __version__

    parser.add_argument("--config", metavar="FILE", help="config file, TOML")
    parser.add_argument("-V", "--version", action="version", version=f"tritop {__version__}")


def flags_of(namespace: argparse.Namespace) -> Mapping[str, object]:
    """What the command line gave, by setting's key; what it did not give is `None`."""
    return vars(namespace)


def target_texts(namespace: argparse.Namespace) -> list[str]:
    """Every TARGET of the command line, both spellings."""
    return [*getattr(namespace, "targets", []), *namespace.url]


def _switch(group: argparse._ArgumentGroup, key: str, *flags: str, value: bool = True, text: str = "") -> None:
    """A flag that sets a switch one way and otherwise leaves it to environment and file."""
    group.add_argument(*flags, dest=key, action="store_const", const=value, help=text or OPTION_BY_KEY[key].help)
