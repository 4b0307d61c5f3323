"""The ``verify`` table, which says how a provider proves that a delivery comes from it."""

from collections.abc import Collection
from dataclasses import dataclass

from webhook_service.providers.declarations.keys import PUBLIC_KEY_ENCODINGS, SYMMETRIC_ENCODINGS, load_private_key
from webhook_service.providers.declarations.places import Place, read_place
from webhook_service.providers.declarations.tables import DeclarationTable
from webhook_service.providers.declarations.templates import Template, read_template
from webhook_service.providers.declarations.timestamps import TOLERANCE, TOLERANCE_MAX, Timestamp, read_timestamp

ALGORITHMS: dict[str, tuple[str, ...]] = {
    "hmac": ("sha1", "sha256", "sha512"),
    "public_key": ("ed25519", "ecdsa-p256", "rsa-sha256"),
    "jwt": ("hs256", "hs384", "hs512", "rs256", "es256", "eddsa"),
    "token": (),
    "basic": (),
}
"""The algorithms of each scheme."""

_KEY_PAIRS = {"rs256": "rsa-sha256", "es256": "ecdsa-p256", "eddsa": "ed25519"}  # of jwt
ENCODINGS = ("hex", "base64", "base64url")
_KEYS = (  # of all schemes
    *("scheme", "algorithm", "encoding", "signature", "signed", "timestamp", "body_unsigned", "claims", "tolerance"),
    *("secret_encoding", "secret_prefix"),
)
NO_TEMPLATE = Template()
_BODY_UNSIGNED = "or set body_unsigned = true if the provider signs nothing of it"


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a JSON Web Token: the names of those with hashes, and the values that issuer and audience have."""

    body_sha256: str | None = None
    url_sha256: str | None = None
    issuer: str | None = None
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by which deliveries are verified; those that a scheme does not need are empty."""

    scheme: str
    signature: Place
    algorithm: str = ""
    encoding: str = ""
    signed: Template = NO_TEMPLATE
    timestamp: Timestamp | None = None
    secret_encoding: str = "utf8"  # noqa: S105  # an encoding, not a secret
    secret_prefix: str = ""
    claims: Claims = Claims()
    tolerance: int = TOLERANCE
    public_url: str = ""
    is_form: bool = False

    @property
    def is_secret_encoded(self) -> bool:
        """Tells whether the key differs from the text of the secret."""
        return self.secret_encoding in ("base64", "hex") or bool(self.secret_prefix)

    @property
    def key_pair(self) -> str | None:
        """Returns the algorithm of the provider's key pair; None if the secret that verifies can sign as well."""
        return self.algorithm if self.scheme == "public_key" else _KEY_PAIRS.get(self.algorithm)

    def check_signing_key(self, pem: str) -> None:
        """Raises SecretUnusable, which shows nothing of it, for a private key that no sample can be signed with."""
        if self.key_pair is not None:
            load_private_key(pem, self.key_pair)


def read_rules(table: DeclarationTable, public_url: str | None, *, is_form: bool) -> Rules | None:
    """Reads the table; None when it has no scheme."""
    scheme = table.take_choice("scheme", tuple(ALGORITHMS), required=True)
    if scheme is None:
        for key in _KEYS:
            table.take_any(key)
        table.finish()
        return None
    if scheme in ("hmac", "public_key"):
        rules = _signature_rules(table, scheme, public_url, is_form=is_form)
    elif scheme == "jwt":
        rules = _jwt_rules(table, public_url, is_form=is_form)
    else:
        rules = Rules(scheme, _place(table, "Authorization" if scheme == "basic" else None))
    table.finish()
    return rules


def _signature_rules(table: DeclarationTable, scheme: str, public_url: str | None, *, is_form: bool) -> Rules:
    algorithm = table.take_choice("algorithm", ALGORITHMS[scheme], required=True)
    encoding = table.take_choice("encoding", ENCODINGS, required=True)
    signed = read_template(table, "signed", public_url)
    when = table.take_table("timestamp")
    timestamp = read_timestamp(when) if when else None
    place = _place(table, None)
    symmetric = scheme == "hmac"
    secret_encoding = _secret_encoding(table, symmetric=symmetric)
    body_unsigned = table.take_flag("body_unsigned") or False
    if signed:
        _check_cover(table, signed, place, body_unsigned=body_unsigned)
        _check_timestamp(table, signed, timestamp)
        if is_form is False and "form:sorted" in signed.names:
            table.report("signed", '{form:sorted} needs payload.format = "form"')
    return Rules(
        scheme,
        place,
        algorithm or "",
        encoding or "",
        signed or NO_TEMPLATE,
        timestamp,
        secret_encoding,
        table.take_text("secret_prefix", longest=20) or "",
        public_url=public_url or "",
        is_form=is_form,
    )


def _jwt_rules(table: DeclarationTable, public_url: str | None, *, is_form: bool) -> Rules:
    algorithm = table.take_choice("algorithm", ALGORITHMS["jwt"], required=True) or ""
    claims = _claims(table, public_url)
    tolerance = table.take_integer("tolerance", 1, TOLERANCE_MAX) or TOLERANCE
    body_unsigned = table.take_flag("body_unsigned") or False
    if claims.body_sha256 is None and not body_unsigned:
        table.report("claims", f"body_sha256 is missing: name the claim that has the body's hash, {_BODY_UNSIGNED}")
    return Rules(
        "jwt",
        _place(table, "Authorization"),
        algorithm,
        secret_encoding=_secret_encoding(table, symmetric=algorithm.startswith("hs")),
        secret_prefix=table.take_text("secret_prefix", longest=20) or "",
        claims=claims,
        tolerance=tolerance,
        public_url=public_url or "",
        is_form=is_form,
    )


def _claims(table: DeclarationTable, public_url: str | None) -> Claims:
    inner = table.take_table("claims")
    if inner is None:
        return Claims()
    names = ("body_sha256", "url_sha256", "issuer", "audience")
    claims = Claims(*(inner.take_text(name, longest=255) for name in names))
    if claims.url_sha256 and public_url is None:
        inner.report("url_sha256", "needs public_url, the base of this service's URLs")
    inner.finish()
    return claims


def _place(table: DeclarationTable, default_header: str | None) -> Place:
    inner = table.take_table("signature", required=default_header is None)
    if inner is None:
        return Place(header=default_header, prefix="" if default_header is None else _PREFIX[table.values["scheme"]])
    return read_place(inner, default_header=default_header)


_PREFIX = {"jwt": "Bearer ", "basic": "Basic "}


def _secret_encoding(table: DeclarationTable, *, symmetric: bool) -> str:
    choices: Collection[str] = SYMMETRIC_ENCODINGS if symmetric else PUBLIC_KEY_ENCODINGS
    return table.take_choice("secret_encoding", choices, required=not symmetric) or ("utf8" if symmetric else "pem")


def _check_cover(table: DeclarationTable, signed: Template, place: Place, *, body_unsigned: bool) -> None:
    if not signed.covers_body and not body_unsigned:
        table.report("signed", f"does not cover the body: add {{body}}, {_BODY_UNSIGNED}")
    if signed.covers_body and body_unsigned:
        table.report("body_unsigned", "the template covers the body: leave this out")
    if signed.covers_body and place.field:
        table.report("signature", "stands in the body that it signs")


def _check_timestamp(table: DeclarationTable, signed: Template, timestamp: Timestamp | None) -> None:
    if timestamp is None:
        if "timestamp" in signed.names:
            table.report("timestamp", "missing: {timestamp} is signed, so say where it stands")
        return
    place = timestamp.place
    in_header = place.header is not None and place.header.lower() in map(str.lower, signed.argument("header"))
    in_body = bool(place.field) and (signed.covers_body or ".".join(place.field) in signed.argument("field"))
    in_query = place.query is not None and (place.query in signed.argument("query") or "url" in signed.names)
    if not ("timestamp" in signed.names or in_header or in_body or in_query):
        table.report("timestamp", "is not signed, so a tolerance would prove nothing: add {timestamp} to signed")
