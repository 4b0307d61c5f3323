"""The files of Compose, as far as they can be judged without Docker."""

import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs would be one more dependency

from tests.support.nginx import TEMPLATE
from tests.support.processes import ROOT

PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)\}")


def services(file: str) -> dict[str, Any]:
    """The services of a file, with their merge keys resolved."""
    read: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())["services"]
    return read


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/ha/compose.yml"])
def test_nginx_is_given_all_that_its_template_leaves_open_and_the_app_the_same(file: str) -> None:
    given, of_the_app = (services(file)[name]["environment"] for name in ("nginx", "app"))
    is_filled_in = re.compile(given["NGINX_ENVSUBST_FILTER"].replace("$$", "$"))
    filled_in = {name: value for name, value in given.items() if is_filled_in.search(name)}

    assert filled_in.keys() == set(PLACEHOLDER.findall(TEMPLATE.read_text()))
    assert filled_in.items() <= of_the_app.items()
