"""Declared sources whose secrets or tables can't be used."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.preset_keys import pem, private_key, public_text
from tests.support.sources import declare

PUBLIC_KEY = public_text("ed25519", "hex")
DISCORD = """
[sources.discord]
provider = "discord"
secrets = [{env = "PUBLIC_KEY"}]
signing_key = {env = "SIGNING_KEY"}
"""
CALLS = """
[sources.calls]
provider = "custom"
secrets = [{env = "PUBLIC_KEY"}]
signing_key = {env = "SIGNING_KEY"}
verify = {scheme = "jwt", algorithm = "es256", secret_encoding = "pem", claims = {body_sha256 = "hash"}}
payload = {message_id = "id", from = "a", to = "b"}
"""


@pytest.mark.parametrize(
    ("text", "public_key", "signing_key", "problem"),
    [
        (DISCORD, PUBLIC_KEY, "garbage", "line 5: sources.discord.signing_key: not a private key in pem"),
        (
            DISCORD,
            PUBLIC_KEY,
            pem(private_key("ecdsa-p256")),
            "line 5: sources.discord.signing_key: not a private key for ed25519",
        ),
        (
            CALLS,
            public_text("ecdsa-p256", "pem"),
            pem(ec.generate_private_key(ec.SECP384R1())),
            "line 5: sources.calls.signing_key: not a private key for ecdsa-p256",
        ),
    ],
)
def test_a_signing_key_that_can_sign_nothing_is_named(
    tmp_path: Path, text: str, public_key: str, signing_key: str, problem: str
) -> None:
    environ = {"PUBLIC_KEY": public_key, "SIGNING_KEY": signing_key}

    assert declare(tmp_path, text, environ)[1] == [f"webhook-service.toml, {problem}"]


def test_a_bad_payload_does_not_hide_what_is_wrong_with_the_secrets(tmp_path: Path) -> None:
    environ = {"PUBLIC_KEY": "not a key", "SIGNING_KEY": "garbage"}

    _, problems = declare(tmp_path, DISCORD + 'payload = {frm = "a"}', environ)

    assert [line.removeprefix("webhook-service.toml, ").split(":")[0:2] for line in problems] == [
        ["line 4", " sources.discord.secrets[0]"],
        ["line 5", " sources.discord.signing_key"],
        ["line 6", " sources.discord.payload.frm"],
    ]


def test_a_signing_key_signs_samples(tmp_path: Path) -> None:
    environ = {"PUBLIC_KEY": PUBLIC_KEY, "SIGNING_KEY": pem(private_key("ed25519"))}

    configuration, problems = declare(tmp_path, DISCORD, environ)

    assert (list(configuration.sources), problems) == (["discord"], [])
