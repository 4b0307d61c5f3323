"""The direction of dependencies, as the design has it."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "webhook_service"
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in (ROOT / PACKAGE).rglob("*.py")
}

MAY_IMPORT_FLASK = ("app", "current", "blueprints", "access", "errors", "json_provider", "logs", "metrics", "cli")
MAY_IMPORT_SQLALCHEMY = ("storage", "settings")

# What each part may import of ours; a part is a file or a folder right below the package.
LAYERS = {
    "domain": set(),
    "limits": set(),
    "formats": set(),
    "strict_json": {"domain"},
    "cursors": {"domain", "formats", "limits"},
    "schemas": {"cursors", "domain", "formats", "limits"},
    "providers": {"domain", "formats", "limits", "schemas", "strict_json"},
    "settings": {"domain", "providers"},
    "storage": {"domain", "limits"},
    "intake": {"domain", "providers", "storage"},
    "exporting": {"domain", "formats", "schemas", "storage"},
    "importing": {"domain", "schemas", "storage", "strict_json"},
    "current": set(),
    "json_provider": {"formats"},
    "logs": {"current", "domain"},
    "metrics": {"current", "domain"},
    "errors": {"current", "domain", "schemas"},
    "access": {"current", "domain", "errors", "metrics"},
    "blueprints": {"current", "domain", "errors", "exporting", "intake", "providers", "schemas", "storage"},
    "sending": {"domain", "providers"},
    "serving": {"current", "domain", "intake", "logs"},
}
OUTERMOST = {"app", "cli", "commands"}


@cache
def imports(module: str) -> frozenset[str]:
    """The names of the modules that a module imports, ours and others."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            source = node.module or ""
            found |= {full if (full := f"{source}.{alias.name}") in MODULES else source for alias in node.names}
    return frozenset(found)


def part(module: str) -> str:
    """The file or folder right below the package that a module of ours is in."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def importers(library: str) -> set[str]:
    """The parts that import a library."""
    return {part(module) for module in MODULES if any(name.partition(".")[0] == library for name in imports(module))}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_lies_below_it(module: str) -> None:
    own = part(module)
    imported = {part(name) for name in imports(module) if name in MODULES} - {own}

    assert own in OUTERMOST or imported <= LAYERS.get(own, set())


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: {name for name in imports(module) if name in MODULES} for module in MODULES}

    TopologicalSorter(graph).prepare()


def test_flask_stays_at_the_edge() -> None:
    assert importers("flask") | importers("werkzeug") <= {*MAY_IMPORT_FLASK}


def test_only_storage_speaks_sql() -> None:
    assert importers("sqlalchemy") <= {*MAY_IMPORT_SQLALCHEMY}
    assert importers("sqlite3") | importers("psycopg") | importers("alembic") <= {"storage"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_stand_at_the_top_of_the_file(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    assert not [
        node.lineno
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
