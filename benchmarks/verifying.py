"""Measures the cost of verifying and parsing a delivery, by provider: ``python -m benchmarks.verifying``.

The cost is the processor time for a delivery: the least of several turns, which alternate between all providers, so
that other work of the machine affects all of them alike. Public keys are also measured for a whole round:
docs/performance.md has the limit.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from time import process_time_ns

from tests.support.preset_keys import NAMES, provider
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.messages import Message
from webhook_service.domain.secrets import Secrets
from webhook_service.intake.wsgi import EnvironHeaders
from webhook_service.providers.base import Provider, Sample
from webhook_service.providers.declared import Declared, load_declaration
from webhook_service.providers.native import Native
from webhook_service.providers.standard import Standard

ROUND = 128
TURNS = 30
NOW = datetime.now(UTC)
MESSAGE = Message("m-1", "native", "+4915112345678", "+4930123456", NOW, NOW, "Hello")
SECRET = "bmV3LXNlY3JldC0xbmV3LXNlY3JldC0x"

LIKE_NATIVE = {
    "verify": {
        "scheme": "hmac",
        "algorithm": "sha256",
        "encoding": "hex",
        "signature": {"header": "X-Signature", "prefix": "sha256="},
        "signed": "{body}",
    },
    "payload": {"message_id": "message_id", "from": "from", "to": "to", "ts": "ts", "text": "text"},
}
"""The tables that declare a provider like the native one."""


def delivery_of(sample: Sample) -> Delivery:
    """Returns the delivery that the worker would make of a request with this sample."""
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in sample.headers.items()}
    return Delivery("", sample.body, EnvironHeaders(environ), sample.path, NOW)


def measured() -> Iterator[tuple[str, Provider, Delivery]]:
    """Yields the providers, each with its name and a delivery."""
    message = replace(MESSAGE, received_at=NOW)
    for built_in in (Native, Standard):
        own = built_in(Secrets(SECRET), {})
        yield built_in.name, own, delivery_of(own.sample(message))
    like_native = Declared(load_declaration(LIKE_NATIVE), Secrets(SECRET))
    yield "declared like native", like_native, delivery_of(like_native.sample(message))
    for name in NAMES:
        preset = provider(name)
        yield name, preset, delivery_of(preset.sample(message))


def microseconds(work: Callable[[], object]) -> float:
    """Returns the processor time of one call, on average over a round."""
    begun = process_time_ns()
    for _ in range(ROUND):
        work()
    return (process_time_ns() - begun) / ROUND / 1000


def main() -> None:
    """Prints a table of the costs."""
    cases = list(measured())
    verify: dict[str, list[float]] = {name: [] for name, _, _ in cases}
    parse: dict[str, list[float]] = {name: [] for name, _, _ in cases}
    for _ in range(TURNS):
        for name, own, delivery in cases:
            verify[name].append(microseconds(partial(own.verify, delivery)))
            parse[name].append(microseconds(partial(own.parse, delivery)))
    native = min(verify["native"])
    sys.stdout.write(f"{'provider':24}{'verify':>10}{'over native':>14}{'parse':>10}{'round of 128':>16}\n")
    for name, _, _ in cases:
        least = min(verify[name])
        row = f"{least:7.1f} µs{least - native:11.1f} µs{min(parse[name]):7.1f} µs{least * ROUND / 1000:13.2f} ms"
        sys.stdout.write(f"{name:24}{row}\n")


if __name__ == "__main__":
    main()
