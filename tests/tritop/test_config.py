"""Configuration: the file, its mistakes, what wins over what, and secrets by reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritop.config import Configuration, load, resolve_targets
from tritop.config.file import places, read_file
from tritop.config.headers import header_flag, header_reference, state_of
from tritop.config.options import OPTIONS
from tritop.endpoint import Tls
from tritop.errors import UsageError
from tritop.settings import Settings


def write(folder: Path, text: str) -> Path:
    path = folder / "tritop.toml"
    path.write_text(text, encoding="utf-8")
    return path


def configured(
    folder: Path, text: str = "", flags: dict[str, object] | None = None, environ: dict[str, str] | None = None
) -> Configuration:
    if text:
        write(folder, text)
    return load(flags or {}, {"HOME": str(folder), **(environ or {})}, folder)


# -- where the file is ------------------------------------------------------------------


def test_places_follow_flag_environment_folder_user_machine() -> None:
    folder = Path("/somewhere")
    assert [place.path for place in places("/a.toml", {"TRITOP_CONFIG": "/b.toml"}, folder)] == [Path("/a.toml")]
    assert [place.path for place in places(None, {"TRITOP_CONFIG": "/b.toml"}, folder)] == [Path("/b.toml")]
    assert [place.path for place in places(None, {"HOME": "/home/op"}, folder)] == [
        Path("/somewhere/tritop.toml"),
        Path("/home/op/.config/tritop/config.toml"),
        Path("/etc/tritop/config.toml"),
    ]
    xdg = places(None, {"HOME": "/home/op", "XDG_CONFIG_HOME": "/x"}, folder)
    assert xdg[1].path == Path("/x/tritop/config.toml")
    relative = places(None, {"HOME": "/home/op", "XDG_CONFIG_HOME": "x"}, folder)
    assert relative[1].path == Path("/home/op/.config/tritop/config.toml")


def test_the_first_file_found_is_the_only_one_read(tmp_path: Path) -> None:
    user = tmp_path / ".config" / "tritop" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text("interval = 5\nascii = true\n")
    assert configured(tmp_path).interval_s == 5.0
    here = configured(tmp_path, "interval = 2\n")
    assert here.interval_s == 2.0
    assert here.setting("ascii").value is False


@pytest.mark.parametrize("way", ["--config", "$TRITOP_CONFIG"])
def test_a_file_that_was_named_must_be_there(tmp_path: Path, way: str) -> None:
    absent = str(tmp_path / "absent.toml")
    flags: dict[str, object] = {"config": absent} if way == "--config" else {}
    environ = {} if way == "--config" else {"TRITOP_CONFIG": absent}
    with pytest.raises(UsageError, match=r"absent\.toml") as refused:
        configured(tmp_path, flags=flags, environ=environ)
    assert way in refused.value.sentence


# -- what may stand in it ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "advice"),
    [
        ("intervall = 1", "intervall", "interval"),
        ("readonly = true", "readonly", "read_only"),
        ("[targets.prod]\naddress = 'a'\nread_onyl = true", "targets.prod.read_onyl", "read_only"),
        ("[targets.prod]\naddress = 'a'\ninterval = 1", "targets.prod.interval", "Known here"),
        ("[thresholds]\nqueue = [1, 2]", "thresholds.queue", "queue_us"),
        ("[target.prod]\naddress = 'a'", "target", "targets"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_one(tmp_path: Path, text: str, key: str, advice: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        read_file(path)
    assert str(path) in refused.value.sentence
    assert f" {key}." in refused.value.sentence
    assert advice in refused.value.advice


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval = 0.1", "from 0.25 to 60"),
        ("interval = true", "from 0.25 to 60"),
        ("interval = nan", "from 0.25 to 60"),
        ("ascii = 1", "true or false"),
        ("theme = 3", "a text"),
        ("theme = '\\u001b'", ""),
        ("columns = [1]", "list of names"),
        ("metrics = 1.5", "a text"),
        ("targets = 3", "a table"),
        ("[targets]\nprod = 'gpu-box'", "a table"),
        ("[targets.prod]\nread_only = true", "address is missing"),
        ("[thresholds]\nqueue_us = 3", "two numbers"),
        ("[thresholds]\nqueue_us = [3, 2]", "two numbers"),
        ("[thresholds]\nqueue_us = ['a', 2]", "two numbers"),
        ("interval = ", "no TOML"),
        ("[targets.prod]\naddress = 'a'\nheaders = {x = 'secret'}", "by reference only"),
    ],
)
def test_a_wrong_value_is_refused_naming_the_file(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    if not said:
        assert read_file(path).values["theme"] == "\\u001b"
        return
    with pytest.raises(UsageError) as refused:
        read_file(path)
    assert str(path) in refused.value.sentence
    assert said in refused.value.sentence


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tritop.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="no TOML"):
        read_file(path)


# -- what wins --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "variable", "in_file", "value", "origin"),
    [
        ("4", "3", True, 4.0, "--interval"),
        (None, "3", True, 3.0, "$TRITOP_INTERVAL"),
        (None, None, True, 2.0, "tritop.toml"),
        (None, None, False, 1.0, "default"),
    ],
)
def test_flag_environment_file_default(
    tmp_path: Path, flag: str | None, variable: str | None, in_file: bool, value: float, origin: str
) -> None:
    environ = {"TRITOP_INTERVAL": variable} if variable else {}
    configuration = configured(tmp_path, "interval = 2\n" if in_file else "", {"interval": flag}, environ)
    setting = configuration.setting("interval")
    assert setting.value == value
    assert setting.origin.endswith(origin)


@pytest.mark.parametrize(
    ("flag", "variable", "target", "top", "expected"),
    [
        (True, "0", "false", "false", True),
        (None, "1", "false", "false", True),
        (None, "0", "true", "true", False),
        (None, None, "true", "false", True),
        (None, None, "false", "true", False),
        (None, None, None, "true", True),
        (None, None, None, None, False),
    ],
)
def test_a_target_stands_between_environment_and_file(
    tmp_path: Path, flag: bool | None, variable: str | None, target: str | None, top: str | None, expected: bool
) -> None:
    lines = [f"read_only = {top}"] if top else []
    lines += ["[targets.prod]", "address = 'gpu-box'"] + ([f"read_only = {target}"] if target else [])
    environ = {"TRITOP_READONLY": variable} if variable else {}
    configuration = configured(tmp_path, "\n".join(lines), {"read_only": flag}, environ)
    (endpoint,) = resolve_targets(configuration, ["prod"]).endpoints
    assert endpoint.read_only is expected


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        ({"interval": "0"}, {}, "--interval is '0'"),
        ({"interval": "fast"}, {}, "--interval is 'fast'"),
        ({}, {"TRITOP_INTERVAL": "inf"}, "$TRITOP_INTERVAL is 'inf'"),
        ({}, {"TRITOP_READONLY": "maybe"}, "$TRITOP_READONLY is 'maybe'"),
    ],
)
def test_a_wrong_flag_or_variable_is_named(
    tmp_path: Path, flags: dict[str, object], environ: dict[str, str], said: str
) -> None:
    configuration = configured(tmp_path, flags=flags, environ=environ)
    with pytest.raises(UsageError) as refused:
        configuration.all_settings()
    assert said in refused.value.sentence


def test_no_color_counts_whatever_it_says_and_ssh_means_low_bandwidth(tmp_path: Path) -> None:
    assert configured(tmp_path, environ={"NO_COLOR": "0"}).screen().color is False
    assert configured(tmp_path, environ={"NO_COLOR": ""}).screen().color is True
    over_ssh = configured(tmp_path, environ={"SSH_TTY": "/dev/pts/1"})
    assert over_ssh.screen().low_bandwidth is True
    assert over_ssh.setting("low_bandwidth").origin == "$SSH_TTY"
    switched_off = configured(tmp_path, environ={"SSH_TTY": "/dev/pts/1", "TRITOP_LOW_BANDWIDTH": "0"})
    assert switched_off.screen().low_bandwidth is False


def test_the_screen_gets_what_was_configured(tmp_path: Path) -> None:
    text = 'theme = "light"\nmouse = false\ncolumns = ["model", "queue"]\n[thresholds]\nbusy_ratio = [0.5, 0.9]\n'
    screen = configured(tmp_path, text).screen("prod")
    assert (screen.theme, screen.mouse, screen.columns, screen.title) == ("light", False, ("model", "queue"), "prod")
    assert screen.thresholds.busy_ratio == (0.5, 0.9)
    assert screen.thresholds.queue_us == Settings().thresholds.queue_us


def test_every_option_can_be_asked_for_and_has_a_default(tmp_path: Path) -> None:
    settings = configured(tmp_path).all_settings()
    assert [setting.key for setting in settings] == [option.key for option in OPTIONS]
    assert {setting.origin for setting in settings} == {"default"}


# -- endpoints --------------------------------------------------------------------------


def test_a_configured_name_wins_over_a_host_of_that_name(tmp_path: Path) -> None:
    text = "[targets.prod]\naddress = 'grpcs://gpu-7:9001'\nmetrics = 9102\n"
    (endpoint,) = resolve_targets(configured(tmp_path, text), ["prod"]).endpoints
    assert (endpoint.name, endpoint.grpc_address) == ("prod", "gpu-7:9001")
    assert endpoint.metrics_url == "http://gpu-7:9102/metrics"
    assert endpoint.tls == Tls()


def test_names_are_made_unique_and_assumptions_are_passed_on(tmp_path: Path) -> None:
    resolved = resolve_targets(configured(tmp_path), ["a", "a:8000", "a:9001", "a"])
    assert [endpoint.name for endpoint in resolved.endpoints] == ["a", "a#2", "a:9001", "a#3"]
    assert len(resolved.notes) == 1
    assert resolved.notes[0].startswith("a:8000: 8000 is Triton's HTTP port")


def test_metrics_by_flag(tmp_path: Path) -> None:
    def urls(metrics: str, *targets: str) -> list[str]:
        configuration = configured(tmp_path, flags={"metrics": metrics})
        return [endpoint.metrics_url for endpoint in resolve_targets(configuration, targets).endpoints]

    assert urls("off", "a", "b") == ["", ""]
    assert urls("http://m:1/metrics", "a") == ["http://m:1/metrics"]
    with pytest.raises(UsageError, match="--metrics-url is for one TARGET"):
        urls("http://m:1/metrics", "a", "b")


def test_tls_is_on_where_any_of_its_files_is_named(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("PEM")
    (endpoint,) = resolve_targets(configured(tmp_path, flags={"tls_ca": str(ca)}), ["a"]).endpoints
    assert endpoint.tls == Tls(ca_path=str(ca))
    relative = "[targets.prod]\naddress = 'a'\ntls_ca = 'ca.pem'\ntls_server_name = 'triton'\n"
    (endpoint,) = resolve_targets(configured(tmp_path, relative), ["prod"]).endpoints
    assert endpoint.tls == Tls(ca_path=str(ca), server_name="triton")
    (endpoint,) = resolve_targets(configured(tmp_path, environ={"TRITOP_TLS": "0"}), ["grpcs://a"]).endpoints
    assert endpoint.tls is None


def test_a_certificate_without_key_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    certificate = tmp_path / "cert.pem"
    certificate.write_text("PEM")
    with pytest.raises(UsageError) as refused:
        resolve_targets(configured(tmp_path, flags={"tls_cert": str(certificate)}), ["a"])
    assert "--tls-key" in refused.value.advice
    with pytest.raises(UsageError) as refused:
        resolve_targets(configured(tmp_path, flags={"tls_ca": str(tmp_path / "absent.pem")}), ["a"])
    assert "absent.pem, which --tls-ca names" in refused.value.sentence


# -- headers ----------------------------------------------------------------------------


def test_header_values_come_from_environment_or_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("from-file\n")
    text = f"[targets.prod]\naddress = 'a'\nheaders = {{x = 'env:KEY', y = 'file:{secret}'}}\n"
    configuration = configured(tmp_path, text, {"header": ["X=env:OTHER"]}, {"KEY": "one", "OTHER": "two"})
    (endpoint,) = resolve_targets(configuration, ["prod"]).endpoints
    assert endpoint.headers == (("x", "two"), ("y", "from-file"))
    assert "two" not in repr(endpoint)


@pytest.mark.parametrize("value", ["hunter2", "Bearer hunter2", "env:", "ENV:hunter2", ""])
def test_a_literal_secret_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(UsageError) as refused:
        header_flag(f"authorization={value}")
    assert "hunter2" not in str(refused.value)
    assert "env:VARIABLE" in refused.value.advice


@pytest.mark.parametrize("name", ["", "a b", "grpc-timeout", "key-bin", "naïve", "a:b"])
def test_a_name_that_grpc_cannot_send_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no header"):
        header_reference(name, "env:KEY", "--header")


def test_a_value_that_is_missing_or_cannot_be_sent_is_refused_unseen(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="KEY, which is not set"):
        header_flag("x=env:KEY").resolve({})
    with pytest.raises(UsageError, match="cannot be read"):
        header_flag(f"x=file:{tmp_path / 'absent'}").resolve({})
    with pytest.raises(UsageError) as refused:
        header_flag("x=env:KEY").resolve({"KEY": "hun\nter2"})
    assert "ter2" not in str(refused.value)


def test_whether_a_value_is_there_can_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "hunter2")
    monkeypatch.delenv("OTHER", raising=False)
    (tmp_path / "key").write_text("hunter2")
    assert state_of(header_flag("x=env:KEY")) == "set"
    assert state_of(header_flag("x=env:OTHER")) == "not set"
    assert state_of(header_flag(f"x=file:{tmp_path / 'key'}")) == "readable"
    assert state_of(header_flag(f"x=file:{tmp_path / 'absent'}")) == "not readable"
