"""A source: one configured sender of a provider."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import Secrets
from webhook_service.domain.sources import path_of
from webhook_service.providers.base import Provider, Sample
from webhook_service.providers.registry import PROVIDERS


@dataclass(frozen=True, slots=True)
class Source:
    """One configured sender: a name, and the provider's rules with the secrets and options of this sender."""

    name: str
    provider: Provider

    @property
    def path(self) -> str:
        """Returns the path that the source's deliveries come to, below the service's base URL."""
        return path_of(self.name)

    def verify(self, delivery: Delivery) -> str:
        """Returns the label of the secret that signed the delivery; SignatureInvalid when no valid secret did."""
        label = self.provider.verify(delivery)
        if self.provider.secrets.has_expired(label, delivery.received_at):
            raise SignatureInvalid(Reason.EXPIRED_SECRET)
        return label

    def sample(self, message: Message) -> Sample:
        """Makes a delivery of this message, as the source would send it."""
        return self.provider.sample(message, self.path)


Sources = Mapping[str, Source]
"""Sources by their names."""


def sources_of_environment(
    secrets: Mapping[str, Secrets],
    options: Mapping[str, Mapping[str, str]],
    known: Iterable[type[Provider]] = PROVIDERS,
) -> dict[str, Source]:
    """Makes a source of each provider that has secrets; it is named like the provider."""
    return {
        provider.name: Source(provider.name, provider(secrets[provider.name], options[provider.name]))
        for provider in known
        if provider.name in secrets
    }
