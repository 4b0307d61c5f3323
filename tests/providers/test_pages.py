"""The pages about providers say what the code does."""

import pytest

from tests.providers.pages import DOCS, pages
from webhook_service.providers.presets import PRESETS
from webhook_service.providers.registry import PROVIDERS

INDEX = (DOCS / "providers.md").read_text()


@pytest.mark.parametrize(("file", "text"), pages().items(), ids=lambda value: getattr(value, "stem", ""))
def test_the_page_is_what_make_provider_pages_writes(file: object, text: str) -> None:
    assert (DOCS / str(file)).read_text() == text


def test_the_index_leads_to_a_page_of_each_provider() -> None:
    names = {provider.name for provider in PROVIDERS} | PRESETS.keys()

    assert sorted(name for name in names if f"](providers/{name}.md)" not in INDEX) == []
    assert {file.stem for file in (DOCS / "providers").glob("*.md")} == names | {"declaring", "python", "refusals"}
