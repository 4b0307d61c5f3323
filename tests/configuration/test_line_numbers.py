"""The line of each key of a TOML text."""

import pytest

from webhook_service.configuration.line_numbers import KeyPath, find_lines, line_of

TEXT = '''# A comment with [brackets] and = signs
[sources.shop]
provider = "custom"  # [not.a.table]
"signed.header".name = 'X-Signature'

note = """
[sources.inside]
provider = "a text"
"""
secrets = [
    {env = "ONE", label = "one"},
    # between
    {file = "two", until = 2026-01-31}, {env = "THREE"},
]
nested = {a = {b = [1, 2]}, c = 3}

[[sources.shop.rules]]
name = "first"
[[sources.shop.rules]]
  name = "second"
  [sources.shop.rules.inner]
  deep.key = true
[destinations]
crm.url = "https://example.org"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("sources",), 2),
        (("sources", "shop"), 2),
        (("sources", "shop", "provider"), 3),
        (("sources", "shop", "signed.header", "name"), 4),
        (("sources", "shop", "note"), 6),
        (("sources", "shop", "secrets"), 10),
        (("sources", "shop", "secrets", "0", "label"), 11),
        (("sources", "shop", "secrets", "1"), 13),
        (("sources", "shop", "secrets", "2", "env"), 13),
        (("sources", "shop", "nested", "a", "b", "1"), 15),
        (("sources", "shop", "rules", "0", "name"), 17 + 1),
        (("sources", "shop", "rules", "1", "name"), 20),
        (("sources", "shop", "rules", "1", "inner", "deep", "key"), 22),
        (("destinations", "crm", "url"), 24),
    ],
)
def test_every_key_has_the_line_at_which_it_stands(path: KeyPath, line: int) -> None:
    assert find_lines(TEXT)[path] == line


def test_a_table_within_a_text_is_none() -> None:
    assert ("sources", "inside") not in find_lines(TEXT)


def test_what_is_missing_has_the_line_of_the_nearest_table_around_it() -> None:
    lines = find_lines(TEXT)

    assert line_of(("sources", "shop", "missing", "deeper"), lines) == 2
    assert line_of(("nowhere",), lines) is None
