"""The pages of the presets, made from the presets: ``make provider-pages`` writes them, and a test compares."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from webhook_service.providers.presets import EXAMPLES, PAGES, PRESETS

DOCS = Path(__file__).parents[2] / "docs"
INDEX = DOCS / "providers.md"
BEGIN, END = "<!-- presets -->\n", "<!-- end of presets -->"

_FIELDS = ("message_id", "from", "to", "ts", "type", "text")
_ALGORITHMS = {
    "ed25519": "Ed25519",
    "ecdsa-p256": "ECDSA over P-256 with SHA-256",
    "rsa-sha256": "RSA with SHA-256",
    "sha1": "HMAC-SHA1",
    "sha256": "HMAC-SHA256",
    "sha512": "HMAC-SHA512",
}
_UNITS = {"s": "seconds since 1970", "ms": "milliseconds since 1970", "iso": "ISO 8601"}


def pages() -> dict[Path, str]:
    """Every page that is made from the presets, whole."""
    made = {DOCS / "providers" / f"{name}.md": _page(name) for name in PRESETS}
    before, _, rest = INDEX.read_text().partition(BEGIN)
    return {**made, INDEX: before + BEGIN + _index() + END + rest.partition(END)[2]}


def _index() -> str:
    rows = (f"| [{PAGES[name]['title']}](providers/{name}.md) | `{name}` | {_judge(name)} |\n" for name in PRESETS)
    return "| provider | `provider` | judged by |\n|---|---|---|\n" + "".join(rows)


def _judge(name: str) -> str:
    judge = PAGES[name]["judge"]
    return "documentation" if judge == "documentation" else f"SDK `{judge}`"


def _page(name: str) -> str:
    page, tables = PAGES[name], PRESETS[name]
    lines = [f"# {page['title']}", "", *([page["notes"], ""] if "notes" in page else [])]
    lines += ["**At the provider**, with `https://YOUR-HOST/webhook/NAME` as the URL:", ""]
    lines += [f"{number}. {step}" for number, step in enumerate(page["setup"], start=1)]
    variable = name.upper().replace("-", "_")
    lines += ["", "**Here**, in [`webhook-service.toml`](../sources.md):", "", "```toml", f"[sources.{name}]"]
    lines += [
        f'provider = "{name}"',
        f'secrets = [{{ env = "{variable}_SECRET" }}]',
        *page.get("settings", ()),
        "```",
        "",
    ]
    lines += [f"The secret is {page['secret']}.", "", "| | |", "|---|---|"]
    lines += [f"| {title} | {_cell(said)} |" for title, said in _rows(tables)]
    lines += ["", "A delivery:", "", "```json", json.dumps(EXAMPLES[name], indent=1, ensure_ascii=False), "```", ""]
    lines += [f"Judged by: {_judged(page)}. {page['title']}'s pages: " + _links(page["documentation"]) + "."]
    lines += ["[Not accepted?](refusals.md)"]
    return "\n".join(lines) + "\n"


def _rows(tables: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("verified", _verified(tables["verify"]))]
    payload = tables["payload"]
    if payload.get("format") == "form":
        rows.append(("body", "a form"))
    if "items" in payload:
        rows.append(("a message for each of", f"`{payload['items']}`"))
    rows += [(field, _mapped(payload[field])) for field in _FIELDS if field in payload]
    if "ts" in payload:
        otherwise = ", or that of the arrival where there is none" if payload.get("ts_optional") else ""
        rows.append(("time in", _UNITS[payload.get("ts_format", "iso")] + otherwise))
    if payload.get("phone_numbers"):
        rows.append(("phone numbers", "as `+` and digits"))
    if "handshake" in tables:
        rows.append(("check of the URL", _handshake(tables["handshake"])))
    if "answer" in tables:
        rows.append(("answer", _answer(tables["answer"])))
    return rows


def _verified(verify: Mapping[str, Any]) -> str:
    if verify["scheme"] == "token":
        return f"{_place(verify['signature'])}, which holds the secret itself"
    if verify["scheme"] == "jwt":
        place = _place(verify.get("signature", {"header": "Authorization", "prefix": "Bearer "}))
        claims = ", ".join(f"`{claim}` ({what.replace('_', ' ')})" for what, claim in verify["claims"].items())
        algorithm = verify["algorithm"].upper()
        return f"{place}: a JSON Web Token by {algorithm} with the claims {claims}; 5 minutes of tolerance"
    said: str = f"{_place(verify['signature'])}: {_ALGORITHMS[verify['algorithm']]}, in {verify['encoding']}, of "
    said += "`" + verify["signed"].replace("\n", "\\n") + "`"
    if "timestamp" in verify:
        place, tolerance = verify["timestamp"], verify["timestamp"].get("tolerance", 300)
        said += f"; the time in {_place(place)} may be {tolerance} seconds off"
    return said


def _place(place: Mapping[str, Any]) -> str:
    said = f"`{place['header']}`" if "header" in place else f"the field `{place['field']}`"
    if "key" in place:
        said += f", the values of `{place['key']}`"
    return said + (f" after `{place['prefix']}`" if "prefix" in place else "")


def _mapped(rule: Any) -> str:
    if isinstance(rule, str):
        return f"`{rule}`"
    found = [f"`{rule['field']}`"] if "field" in rule else []
    found += [f"the header `{rule['header']}`"] if "header" in rule else []
    found += ["the SHA-256 of the body"] if "sha256" in rule else []
    return ", else ".join(found)


def _handshake(handshake: Mapping[str, Any]) -> str:
    if "query" in handshake:
        return f"a GET, which is answered with its `{handshake['query']}` if its `{handshake['token_query']}` is yours"
    answer = _answer(handshake["answer"]) if "answer" in handshake else f"`{handshake['challenge']}`"
    return f"a POST for which `{handshake['when']}`, which is answered with {answer}"


def _answer(answer: Mapping[str, Any]) -> str:
    return f"`{json.dumps(answer['json'])}`" if "json" in answer else f"status {answer['status']}"


def _judged(page: Mapping[str, Any]) -> str:
    if page["judge"] == "documentation":
        return "the provider's documentation, since no SDK of its own in Python verifies deliveries"
    return f"`{page['judge']}` from PyPI"


def _links(urls: list[str]) -> str:
    return ", ".join(f"<{url}>" for url in urls)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Writes the pages."""
    for file, text in pages().items():
        file.write_text(text)


if __name__ == "__main__":
    main()
