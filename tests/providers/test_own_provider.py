"""The provider that ``docs/providers/python.md`` shows, run as it is printed there."""

import hmac
import json
import re
from pathlib import Path

import pytest

from tests.support.provider_deliveries import delivery_of
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.secrets import DefaultLabel
from webhook_service.providers.base import Provider
from webhook_service.providers.registry import PROVIDERS
from webhook_service.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "providers" / "python.md").read_text()
INDEX = (DOCS / "providers.md").read_text()


@pytest.fixture
def ferry() -> type[Provider]:
    (source,) = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    module: dict[str, type[Provider]] = {}
    exec(source, module)
    return module["Ferry"]


@pytest.fixture
def configured(ferry: type[Provider]) -> Provider:
    environ = {"FERRY_SECRET": "new", "FERRY_SECRET_PREVIOUS": "old"}
    settings = Settings.from_env(environ, providers=(*PROVIDERS, ferry))
    return ferry(settings.provider_secrets["ferry"], settings.provider_options["ferry"])


@pytest.mark.parametrize(("secret", "label"), [(b"new", DefaultLabel.CURRENT), (b"old", DefaultLabel.PREVIOUS)])
def test_a_file_and_a_registry_line_give_a_provider_its_settings_and_rotation(
    configured: Provider, secret: bytes, label: DefaultLabel
) -> None:
    delivery = delivery_of(b"{}", {"Ferry-Signature": hmac.digest(secret, b"{}", "sha256").hex()})

    verified = configured.verify(delivery)

    assert verified is label


def test_without_its_secret_it_is_not_configured(ferry: type[Provider]) -> None:
    settings = Settings.from_env({}, providers=(*PROVIDERS, ferry))

    assert "ferry" not in settings.provider_secrets


@pytest.mark.parametrize("signature", ["", "f" * 64, "nonsense"])
def test_it_refuses_any_other_signature(configured: Provider, signature: str) -> None:
    with pytest.raises(SignatureInvalid):
        configured.verify(delivery_of(b"{}", {"Ferry-Signature": signature}))


def test_it_keeps_the_good_items_and_names_the_bad_ones(configured: Provider) -> None:
    good = {"id": "f-1", "from": "49 151 12345678", "to": "+4930123456", "sent": 1772366398, "words": "Hi"}
    body = json.dumps({"texts": [{**good, "tide": "low"}, {"id": "f-2"}, 7]}).encode()

    contents = configured.parse(delivery_of(body, {}))

    assert [(message.message_id, message.sender, message.extra) for message in contents.messages] == [
        ("f-1", "+4915112345678", {"tide": "low"})
    ]
    assert [item.where for item in contents.unreadable] == ["texts[1].from", "texts[2].id"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_page_names_every_setting_of_every_provider(provider: type[Provider]) -> None:
    missing = [name for name in (provider.secret_setting, *provider.option_settings) if f"`{name}`" not in INDEX]

    assert missing == []
