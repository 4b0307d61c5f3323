"""The interface of a provider: it verifies deliveries and parses them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from webhook_service.domain.answers import Acknowledgement
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.messages import Message
from webhook_service.domain.secrets import Secrets
from webhook_service.domain.sources import address
from webhook_service.providers.routing import Route

STATUS_OK = Acknowledgement("application/json", b'{"status":"ok"}')


@dataclass(frozen=True, slots=True)
class Sample:
    """A signed delivery as the provider would send it; ``path`` is below the service's base URL."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class Problem(NamedTuple):
    """What is wrong with a secret, given by its label, or with an option, given by its setting; it shows neither."""

    of: str
    text: str


class Provider(ABC):
    """A kind of sender.

    An instance has the ``secrets`` of one source, its ``options`` by their settings' names, and the ``route`` by which
    its items belong to other sources, if there is one.

    It is configured when the setting named ``secret_setting`` has a value; ``option_settings`` are then needed as well.
    Those of them that are ``secret_options`` are not written into a file of configuration.
    """

    name: str
    secret_setting: ClassVar[str]
    option_settings: ClassVar[tuple[str, ...]] = ()
    secret_options: ClassVar[tuple[str, ...]] = ()
    acknowledgement: Acknowledgement = STATUS_OK
    accepts_unreadable: bool = False
    """Acknowledges a delivery that can't be understood, since it is kept and sending it again can't help."""
    verifies_slowly: bool = False
    """Verifies by a public key, which takes as long as twenty HMACs."""
    kept_headers: tuple[str, ...] = ("Content-Type", "User-Agent")
    """The headers that are kept with a quarantined delivery, for the operator; none that helps to forge a delivery."""

    def __init__(self, secrets: Secrets, options: Mapping[str, str]) -> None:
        self.secrets = secrets
        self.options = options
        self.route: Route | None = None

    @classmethod
    def problems(cls, _secrets: Secrets, _options: Mapping[str, str]) -> list[Problem]:
        """Lists what is wrong with these settings."""
        return []

    @classmethod
    def path(cls) -> str:
        """Returns the path of the source that is named like this provider."""
        return address(cls.name)

    @abstractmethod
    def verify(self, delivery: Delivery) -> str:
        """Returns the label of the secret that signed the delivery; SignatureInvalid if none did.

        Takes the same time whichever it is.
        """

    @abstractmethod
    def parse(self, delivery: Delivery) -> Contents:
        """Returns the items of a delivery; PayloadInvalid when it can't be understood, and nothing else for any bytes.

        Reads the body, ``received_at`` and the ``kept_headers`` alone, so that a delivery in quarantine can be parsed
        again. An item that can't be read or stored is named in ``unreadable`` and takes no other along. A delivery that
        checks the address has an ``answer`` and no items.
        """

    def source_of(self, item: Any, delivery: Delivery) -> str | None:
        """Returns the source that the route gives an item of a delivery; None for that of the delivery."""
        return self.route.source_of(item, delivery.source) if self.route else None

    def has_handshake(self) -> bool:
        """Tells whether this provider checks a new URL by a GET."""
        return type(self).handshake is not Provider.handshake

    def handshake(self, _parameters: Mapping[str, str]) -> Acknowledgement | None:
        """Answers the provider's check of a new URL; None when it is refused or there is no such check."""
        return None

    def diagnose(self, _delivery: Delivery) -> str | None:
        """Finds what would have made a refused signature match, as a hint in the operator's log.

        None when nothing that was tried does. Computed only from what the service holds, in bounded work, and never
        shown to the caller.
        """
        return None

    @abstractmethod
    def sample(self, message: Message, path: str | None = None) -> Sample:
        """Makes a delivery of this message, signed with the current secret as of the message's ``received_at``.

        It goes to ``path``, or to the source that is named like the provider.
        """
