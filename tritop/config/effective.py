"""Which value holds: flag > environment > target > file > default, each with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritop.config.file import ConfigFile, Place, TargetTable, places, read_first
from tritop.config.options import OPTION_BY_KEY, OPTIONS, Option, Value
from tritop.config.profile import launch_profiles
from tritop.errors import UsageError
from tritop.settings import Settings, Thresholds


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it holds."""

    key: str
    value: Value
    origin: str
    """The flag, `$VARIABLE`, `targets.NAME in FILE`, the file, or `default`."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Flags, environment and file, ready to be asked for any setting."""

    flags: Mapping[str, object]
    """What the command line gave, by setting's key."""
    environ: Mapping[str, str]
    file: ConfigFile
    places: tuple[Place, ...]
    """Where the file was looked for."""

    def setting(self, key: str, target: TargetTable | None = None) -> Setting:
        """The setting as it holds, for one target or for all.

        Raises:
            UsageError: flag or environment variable is not what the setting allows.
            KeyError: there is no such setting.
        """
        option = OPTION_BY_KEY[key]
        if self.flags.get(key) not in (None, []):
            return Setting(key, _read(option, self.flags[key], option.flag), option.flag)
        text = self.environ.get(option.variable, "") if option.variable else ""
        if text:
            return Setting(key, _read(option, text, f"${option.variable}"), f"${option.variable}")
        if target is not None and key in target.values:
            return Setting(key, target.values[key], f"targets.{target.name} in {self.file.path}")
        if key in self.file.values:
            return Setting(key, self.file.values[key], str(self.file.path))
        if key == "low_bandwidth":
            return self._low_bandwidth()
        return Setting(key, option.default, "default")

    def all_settings(self) -> tuple[Setting, ...]:
        """Every setting as it holds where no target says otherwise."""
        return tuple(self.setting(option.key) for option in OPTIONS)

    def screen(self, title: str = "") -> Settings:
        """What the screen is given."""
        columns = self.setting("columns").value
        return Settings(
            interval_s=self.interval_s,
            theme=self._text("theme"),
            ascii=bool(self.setting("ascii").value),
            color=bool(self.setting("color").value),
            mouse=bool(self.setting("mouse").value),
            low_bandwidth=bool(self.setting("low_bandwidth").value),
            read_only=bool(self.setting("read_only").value),
            title=title,
            columns=columns if isinstance(columns, tuple) else (),
            thresholds=replace(Thresholds(), **self.file.thresholds),
            profiles=launch_profiles(self.file.servers, self.file.path),
        )

    @property
    def interval_s(self) -> float:
        """Seconds between two readings."""
        value = self.setting("interval").value
        assert isinstance(value, float)
        return value

    def _text(self, key: str) -> str | None:
        value = self.setting(key).value
        return value if isinstance(value, str) else None

    def _low_bandwidth(self) -> Setting:
        for variable in ("SSH_CONNECTION", "SSH_TTY"):
            if self.environ.get(variable):
                return Setting("low_bandwidth", True, f"${variable}")
        return Setting("low_bandwidth", False, "default")


def load(flags: Mapping[str, object], environ: Mapping[str, str], folder: Path) -> Configuration:
    """Find and read the config file and put the rest beside it.

    Args:
        flags: what the command line gave, by setting's key; `config` is the file's path.
        environ: the environment.
        folder: the folder in which `tritop.toml` is looked for.

    Raises:
        UsageError: the file cannot be used.
    """
    path = flags.get("config")
    candidates = places(None if path is None else str(path), environ, folder)
    return Configuration(flags, environ, read_first(candidates), candidates)


def _read(option: Option, raw: object, origin: str) -> Value:
    try:
        return option.read(raw)
    except ValueError as expected:
        raise UsageError(f"{origin} is {raw!r}, and should be {expected}.") from None
