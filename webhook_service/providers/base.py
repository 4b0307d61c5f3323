"""The interface of a provider: it verifies deliveries and parses them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.messages import Message
from webhook_service.domain.secrets import Secrets
from webhook_service.domain.sources import path_of
from webhook_service.providers.routing import Route

STATUS_OK = Acknowledgement("application/json", b'{"status":"ok"}')


@dataclass(frozen=True, slots=True)
class Sample:
    """A signed delivery as the provider would send it; ``path`` is below the service's base URL."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class SettingProblem(NamedTuple):
    """A problem with a secret, named by its label, or with an option, named by its setting; it shows no value."""

    of: str
    text: str


class Provider(ABC):
    """A kind of sender.

    An instance has the ``secrets`` of one source, its ``options`` by their settings' names, and the ``route``, if any,
    by which its items belong to other sources. ``declared_in`` says where a file of configuration has what a setting
    would say, by the setting's name; it is empty if the environment sets the provider up.

    A provider is configured when the setting named ``secret_setting`` has a value; ``option_settings`` are then needed
    as well. Those of them that are in ``secret_options`` are secrets, which a file of configuration must not hold.
    """

    name: str
    secret_setting: ClassVar[str]
    option_settings: ClassVar[tuple[str, ...]] = ()
    secret_options: ClassVar[tuple[str, ...]] = ()
    acknowledgement: Acknowledgement = STATUS_OK
    accepts_unreadable: bool = False
    """True if a delivery that can't be understood is acknowledged: it is kept, and sending it again would not help."""
    verifies_slowly: bool = False
    """True if deliveries are verified by a public key, which takes as long as twenty HMACs."""
    kept_headers: tuple[str, ...] = ("Content-Type", "User-Agent")
    """The headers that are kept with a quarantined delivery, for the operator; none may help to forge a delivery."""

    def __init__(self, secrets: Secrets, options: Mapping[str, str]) -> None:
        self.secrets = secrets
        self.options = options
        self.route: Route | None = None
        self.declared_in: Mapping[str, str] = {}

    @classmethod
    def problems(cls, _secrets: Secrets, _options: Mapping[str, str]) -> list[SettingProblem]:
        """Returns what is wrong with these settings."""
        return []

    @classmethod
    def default_path(cls) -> str:
        """Returns the path of the source that is named like this provider."""
        return path_of(cls.name)

    @abstractmethod
    def verify(self, delivery: Delivery) -> str:
        """Returns the label of the secret that signed the delivery; SignatureInvalid if none did.

        It has to take the same time whichever secret it was.
        """

    def kept_target(self, target: str) -> str:
        """Returns the path and query of a delivery as they are kept in quarantine, without any secret in them."""
        return target

    @abstractmethod
    def parse(self, delivery: Delivery) -> Contents:
        """Returns the items of a delivery; raises PayloadInvalid, and nothing else, when it can't be understood.

        It may read only the body, ``received_at`` and the ``kept_headers``, so that a delivery in quarantine can be
        parsed again. An item that can't be read or stored is named in ``unreadable`` and does not affect the others. A
        delivery that checks the address has an ``answer`` and no items.
        """

    def source_of(self, item: Any, delivery: Delivery) -> str | None:
        """Returns the source that the route assigns to an item of a delivery; None without a route."""
        return self.route.source_of(item, delivery.source) if self.route else None

    def has_handshake(self) -> bool:
        """Tells whether this provider checks a new URL by a GET."""
        return type(self).handshake is not Provider.handshake

    def handshake(self, _parameters: Mapping[str, str]) -> Acknowledgement | None:
        """Answers the provider's check of a new URL; None when it is refused or there is no such check."""
        return None

    def diagnose(self, _delivery: Delivery) -> str | None:
        """Finds what would have made a refused signature match, as a hint in the operator's log.

        None when nothing that was tried matches. The work is bounded and uses only what the service holds; the caller
        is never shown the hint.
        """
        return None

    @abstractmethod
    def sample(self, message: Message, path: str | None = None) -> Sample:
        """Makes a delivery of this message, signed with the current secret as of the message's ``received_at``.

        It goes to ``path``, or else to the source that is named like the provider.
        """
