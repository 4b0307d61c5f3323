"""gunicorn's settings as a worker looks them up."""

from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # gunicorn has no types

from webhook_service.serving.fixed_config import FixedConfig


class Counting(Config):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's settings, which note what is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name != "settings":
            self.__dict__.setdefault("asked_for", []).append(name)
        return super().__getattr__(name)


def test_a_setting_is_looked_up_once() -> None:
    gunicorns = Counting()
    gunicorns.set("keepalive", 75)
    fixed = FixedConfig(gunicorns)

    assert [fixed.keepalive, fixed.keepalive] == [75, 75]
    assert gunicorns.asked_for == ["keepalive"]


def test_a_setting_that_is_off_is_looked_up_once_too() -> None:
    gunicorns = Counting()
    fixed = FixedConfig(gunicorns)

    assert [fixed.keyfile, fixed.keyfile] == [None, None]
    assert gunicorns.asked_for == ["keyfile"]


def test_what_gunicorn_computes_from_settings_is_there() -> None:
    gunicorns = Config()
    gunicorns.set("forwarded_allow_ips", "192.0.2.1")
    fixed = FixedConfig(gunicorns)

    assert not fixed.is_ssl
    assert [str(network) for network in fixed.forwarded_allow_networks()] == ["192.0.2.1/32"]


def test_a_setting_that_gunicorn_does_not_have_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no_such_setting"):
        _ = FixedConfig(Config()).no_such_setting
