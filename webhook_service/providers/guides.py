"""Guides to setting up each provider, in the words of its own pages, whose addresses docs/providers.md has."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from webhook_service.domain.sources import SetupGuide
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.presets import PAGES
from webhook_service.providers.standard import Standard
from webhook_service.providers.twilio import Twilio
from webhook_service.providers.whatsapp import WhatsApp

# Settings in braces stand for where the source has what they would say.
_GUIDES: Mapping[str, SetupGuide] = {
    Native.name: SetupGuide(
        "Your own program, which sends JSON",
        "POST to",
        {
            "X-Signature": "HMAC-SHA256 of the body with the secret ({WEBHOOK_SECRET}), as hex",
            "Body": "message_id, from, to, ts, text",
        },
    ),
    Standard.name: SetupGuide(
        "Your sender's webhook settings",
        "Endpoint URL",
        {"Signing secret": "the secret ({STANDARD_WEBHOOKS_SECRET}), whsec_…"},
    ),
    WhatsApp.name: SetupGuide(
        "Meta's App Dashboard, WhatsApp, Configuration, Webhook",
        "Callback URL",
        {
            "Verify token": "the verify token ({WHATSAPP_VERIFY_TOKEN})",
            "Webhook fields": "subscribe to messages",
        },
    ),
    Twilio.name: SetupGuide(
        "Twilio's Console, your number or messaging service, Messaging",
        "A message comes in",
        {"Method": "HTTP POST", "{PUBLIC_URL}": "the base of this address, exactly as Twilio calls it"},
    ),
}
_OTHER = SetupGuide("The provider's webhook settings", "URL", {})


def guide_to(provider: Provider) -> SetupGuide:
    """Returns the guide to setting up a provider."""
    page = PAGES.get(provider.name)
    return _filled_in(_GUIDES.get(provider.name, _OTHER), provider) if page is None else _guide_on(page)


def _filled_in(guide: SetupGuide, provider: Provider) -> SetupGuide:
    """Names each setting of a guide as the source does: a variable or a file of its own, if it is declared."""
    if not guide.fields:
        return guide
    settings = (provider.secret_setting, *provider.option_settings)
    named = {setting: provider.declared_in.get(setting, setting) for setting in settings}
    fields = {field.format_map(named): value.format_map(named) for field, value in guide.fields.items()}
    return replace(guide, fields=fields)


def _guide_on(page: Mapping[str, Any]) -> SetupGuide:
    steps = {f"Step {number}": step for number, step in enumerate(page["setup"], start=1)}
    return SetupGuide(page["title"], "URL", {"Secret": page["secret"], **steps})
