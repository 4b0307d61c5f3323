"""The presets before their judges: run by ``make judges``, which also writes what every run of the suite checks."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

import pytest

from tests.judges.sdks import SDKS, Sdk
from tests.support.preset_keys import provider, secret
from tests.support.provider_deliveries import MESSAGE, delivery_of
from tests.support.vectors import Vector, save, vector_of
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.secrets import DefaultLabel
from webhook_service.providers.base import Sample
from webhook_service.providers.presets import PAGES

every_judge = pytest.mark.parametrize(("preset", "sdk"), SDKS.items(), ids=SDKS)


@pytest.fixture(scope="module")
def vectors() -> Iterator[dict[str, list[Vector]]]:
    found: dict[str, list[Vector]] = {}
    yield found
    for of_preset in found.values():
        save(of_preset)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def sample_of(preset: str, at: datetime) -> Sample:
    return provider(preset).sample(replace(MESSAGE, received_at=at, ts=at))


def delivery(sample: Sample, at: datetime) -> Delivery:
    return delivery_of(sample.body, sample.headers, target=sample.path, received_at=at)


def judge_of(sdk: Sdk) -> str:
    return f"{sdk.package} {version(sdk.package)}"


def altered(preset: str, sample: Sample) -> Sample:
    """The same with another body, or, where that is not signed, with another token."""
    old, new = (b"token", b"tokem") if preset == "mailgun" else (b"e", b"E")
    body = sample.body.replace(old, new, 1)
    if preset == "mailgun":
        body = sample.body.replace(b"a8ce0edb", b"a8ce0edc", 1)
    return Sample(sample.path, body, sample.headers)


@every_judge
def test_the_judge_accepts_what_is_signed_here(preset: str, sdk: Sdk, vectors: dict[str, list[Vector]]) -> None:
    at = now()
    sample = sample_of(preset, at)

    assert sdk.accepts(sample, secret(preset))
    vectors.setdefault(preset, []).append(vector_of(preset, judge_of(sdk), "here", secret(preset), sample, at))


@every_judge
def test_both_refuse_what_is_altered(preset: str, sdk: Sdk) -> None:
    at = now()
    other = altered(preset, sample_of(preset, at))

    assert not sdk.accepts(other, secret(preset))
    with pytest.raises(SignatureInvalid):
        provider(preset).verify(delivery(other, at))


@every_judge
def test_what_the_judge_signs_is_accepted_here(preset: str, sdk: Sdk, vectors: dict[str, list[Vector]]) -> None:
    if sdk.signs is None:
        pytest.skip("verifies only")
    at = now()
    unsigned = sample_of(preset, at)
    sample = Sample(unsigned.path, unsigned.body, {**unsigned.headers, **sdk.signs(unsigned, secret(preset), at)})

    label = provider(preset).verify(delivery(sample, at))

    assert label is DefaultLabel.CURRENT
    assert sdk.accepts(sample, secret(preset))
    vectors.setdefault(preset, []).append(vector_of(preset, judge_of(sdk), sdk.package, secret(preset), sample, at))


def test_every_preset_that_names_a_judge_has_one() -> None:
    named = {name: page["judge"] for name, page in PAGES.items() if page["judge"] != "documentation"}

    assert named == {name: sdk.package for name, sdk in SDKS.items()}
