"""Every provider that the service knows. A new one is a file beside this one and a line here."""

from collections.abc import Iterable, Mapping

from webhook_service.domain.secrets import Secrets
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.standard import Standard
from webhook_service.providers.twilio import Twilio
from webhook_service.providers.whatsapp import WhatsApp

PROVIDERS: tuple[type[Provider], ...] = (Native, Standard, WhatsApp, Twilio)


def configured_providers(
    secrets: Mapping[str, Secrets],
    options: Mapping[str, Mapping[str, str]],
    known: Iterable[type[Provider]] = PROVIDERS,
) -> dict[str, Provider]:
    """The providers that have secrets, by name, ready for deliveries."""
    return {
        provider.name: provider(secrets[provider.name], options[provider.name])
        for provider in known
        if provider.name in secrets
    }
