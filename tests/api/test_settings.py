"""Settings that cannot be: refused by the name of their variable, in one line."""

import pytest

from headwater.app import check
from headwater.config import Config, config_from
from headwater.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("LEASE_S", "soon", "must be a number, not 'soon'"),
        ("LEASE_S", "-1", "must be more than 0"),
        ("LEASE_S", "nan", "must be a finite number"),
        ("IDLE_TIMEOUT_S", "inf", "must be a finite number"),
        ("HEAD_TIMEOUT_S", "1e400", "must be a"),
        ("DRAIN_S", "-0.5", "must be 0 or more"),
        ("MAX_RUNS", "0", "must be more than 0"),
        ("MAX_RUNS", "1.5", "must be a whole number"),
        ("PORT", "http", "must be a whole number"),
        ("PORT", "65536", "must be at most 65535"),
        ("PORT", "-1", "must be 0 or more"),
        ("SEND_BUFFER_BYTES", "99999999999", "must be at most"),
        ("FAULTS", "maybe", "must be true or false"),
        ("SQLITE_SYNCHRONOUS", "OFF", "must be NORMAL or FULL"),
        ("RENEW_S", "1.5", "must be less than half of HEADWATER_LEASE_S"),
        ("RETRY_MS_MIN", "5000", "must not be more than HEADWATER_RETRY_MS_MAX"),
    ],
)
def test_it_is_refused_by_name(name: str, value: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config_from({f"HEADWATER_{name}": value})
    assert f"HEADWATER_{name}" in str(refused.value) and why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_not_set_has_its_default_and_an_empty_variable_is_not_set() -> None:
    assert config_from({}) == config_from({"HEADWATER_LEASE_S": "", "PATH": "x"}) == Config()


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("0", False), ("False", False)])
def test_switches_are_written_as_people_write_them(text: str, value: bool) -> None:
    assert config_from({"HEADWATER_FAULTS": text}).faults is value


def test_an_option_beats_a_variable() -> None:
    environ = {"HEADWATER_PORT": "9000", "HEADWATER_HOST": "127.0.0.2"}
    config = config_from(environ, port=0, host=None)
    assert (config.port, config.host) == (0, "127.0.0.2")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORIGINS", "*"),
        ("ORIGINS", "app.example.com"),
        ("ORIGINS", "https://app.example.com/"),
        ("ORIGINS", "https://*.example.com"),
        ("ORIGINS", "https://App.example.com"),
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "proxy.example.com"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("KEYS", "short"),
        ("JWT_SECRET", "short"),
        ("JWT_ALG", "none"),
    ],
)
def test_what_would_let_in_anybody_is_refused_before_anything_starts(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check(config_from({f"HEADWATER_{name}": value}))
    assert f"HEADWATER_{name}" in str(refused.value) and "\n" not in str(refused.value)
