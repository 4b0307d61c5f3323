"""Sessions of browsers: a signed cookie that expires stands in for the API token, so that no browser keeps the token.

Keys are derived from the API token: a token that is no longer accepted takes its sessions with it, and nothing is
stored. A *form token* proves that a form was sent from one of the service's own pages, by the browser that the page was
shown to.
"""

import hashlib
import hmac
from datetime import timedelta
from secrets import token_urlsafe

from itsdangerous import BadSignature, TimestampSigner

from webhook_service.domain.secrets import Secrets

SESSION_COOKIE = "webhook_service_session"
SESSION_LENGTH = timedelta(days=7)
FORM_TOKEN = "form_token"  # noqa: S105  # a field's name


class Sessions:
    """Makes and checks session cookies and form tokens; without an API token there are neither."""

    def __init__(self, token: Secrets | None, admin_token: Secrets | None = None) -> None:
        self._signers = [
            (each, signer)
            for each in (token, admin_token)
            if each is not None and (signer := _signer(each, "session")) is not None
        ]
        self._admin_cookies = _signer(admin_token, "session")
        self._forms = _signer(token, "form")

    @property
    def has_admin_token(self) -> bool:
        """Tells whether changes need the admin token."""
        return self._admin_cookies is not None

    def open(self, presented: str) -> str | None:
        """Returns the cookie of a new session; None unless ``presented`` is the API token or the admin token."""
        for token, signer in self._signers:
            if is_token(presented.encode(), token):
                return signer.sign(token_urlsafe(16)).decode()
        return None

    def is_open(self, cookie: str | None) -> bool:
        """Tells whether a cookie belongs to a session that has not expired."""
        return any(_is_signed(signer, cookie) for _, signer in self._signers)

    def is_of_admin(self, cookie: str | None) -> bool:
        """Tells whether the session of a cookie was opened with the admin token."""
        return _is_signed(self._admin_cookies, cookie)

    def form_token(self, credential: str) -> str:
        """Returns a form token for whoever presents this credential; empty when there is no API token."""
        return self._forms.sign(_digest(credential)).decode() if self._forms else ""

    def is_form_token(self, presented: str | None, credential: str) -> bool:
        """Tells whether a text is a form token for this credential that has not expired."""
        return _signed_value(self._forms, presented) == _digest(credential).encode()


def is_token(presented: bytes, token: Secrets) -> bool:
    """Tells whether ``presented`` is the token, or the previous one, in constant time."""
    matches = [hmac.compare_digest(secret.encode(), presented) for _, secret in token.labelled()]
    return any(matches)


def _signer(token: Secrets | None, purpose: str) -> TimestampSigner | None:
    if token is None:
        return None
    newest_last = [secret for _, secret in reversed(token.labelled())]
    return TimestampSigner(
        newest_last, salt=f"webhook_service.{purpose}", key_derivation="hmac", digest_method=hashlib.sha256
    )


def _is_signed(signer: TimestampSigner | None, text: str | None) -> bool:
    return _signed_value(signer, text) is not None


def _signed_value(signer: TimestampSigner | None, text: str | None) -> bytes | None:
    """Returns what was signed; None when the signature is wrong or has expired."""
    if signer is None or text is None:
        return None
    try:
        return signer.unsign(text, max_age=int(SESSION_LENGTH.total_seconds()))
    except BadSignature:
        return None


def _digest(credential: str) -> str:
    return hashlib.sha256(credential.encode(errors="surrogatepass")).hexdigest()
