"""The rooms of the package, and the direction of dependencies between them."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "webhook_service"
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in (ROOT / PACKAGE).rglob("*.py")
}

# What each room may import of the others.
ROOMS: dict[str, set[str]] = {
    "shipped": set(),
    "domain": set(),
    "schemas": {"domain"},
    "providers": {"domain", "schemas"},
    "configuration": {"domain", "providers", "shipped"},
    "settings": {"configuration", "domain", "providers", "shipped"},
    "storage": {"domain", "shipped"},
    "intake": {"domain", "providers", "storage"},
    "outlet": {"domain", "providers", "schemas", "storage"},
    "web": {"domain", "schemas"},
    "contract": {"domain", "providers", "schemas"},
    "blueprints": {"contract", "domain", "intake", "outlet", "providers", "schemas", "storage", "web"},
    "dashboard": {"domain", "intake", "outlet", "providers", "schemas", "storage", "web"},
    "serving": {"domain", "intake", "outlet", "settings", "web"},
    "commands": {
        "configuration",
        "domain",
        "intake",
        "outlet",
        "providers",
        "schemas",
        "settings",
        "shipped",
        "storage",
    },
}
ROOT_MODULES = {"__init__", "__main__", "app", "settings", "shipped", "cli"}
OUTERMOST = {"", "__main__", "app", "cli"}

MAY_IMPORT_FLASK = {"app", "blueprints", "dashboard", "web"}
MAY_IMPORT_SQLALCHEMY = {"storage", "configuration", "settings", "commands"}  # all but the first for URLs alone

MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_A_FUNCTION = 40


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


def room(module: str) -> str:
    """The file or folder right below the package that a module of ours is in."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def importers(library: str) -> set[str]:
    """The rooms that import a library."""
    return {room(module) for module in MODULES if any(name.partition(".")[0] == library for name in imports(module))}


def functions(module: str) -> Iterator[ast.FunctionDef]:
    """The functions and methods of a module."""
    tree = ast.parse(MODULES[module].read_text())
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_the_root_holds_nothing_but_the_application_the_settings_the_script_and_the_rooms() -> None:
    folder = ROOT / PACKAGE

    assert {file.stem for file in folder.glob("*.py")} == ROOT_MODULES
    assert {file.parent.name for file in folder.glob("*/__init__.py")} == ROOMS.keys() - {"settings", "shipped"}


def test_a_module_imports_only_what_lies_below_it() -> None:
    imported = {
        module: {room(name) for name in imports(module) if name in MODULES} - {room(module)}
        for module in MODULES
        if room(module) not in OUTERMOST
    }

    assert {module: above for module, rooms in imported.items() if (above := rooms - ROOMS[room(module)])} == {}


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: {name for name in imports(module) if name in MODULES} for module in MODULES}

    TopologicalSorter(graph).prepare()


def test_flask_stays_at_the_edge() -> None:
    assert importers("flask") | importers("werkzeug") <= MAY_IMPORT_FLASK


def test_only_storage_speaks_sql() -> None:
    assert importers("sqlalchemy") <= MAY_IMPORT_SQLALCHEMY
    assert importers("psycopg") | importers("alembic") <= {"storage"}


def test_only_serving_knows_gunicorn() -> None:
    assert importers("gunicorn") == {"serving"}


def test_imports_stand_at_the_top_of_the_file() -> None:
    assert [
        f"{module}:{node.lineno}"
        for module in MODULES
        for function in functions(module)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ] == []


def test_functions_are_short() -> None:
    assert {
        f"{module}.{function.name}": length
        for module in MODULES
        for function in functions(module)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    } == {}


def test_files_are_short_in_the_tests_and_benchmarks_too() -> None:
    folders = (PACKAGE, "tests", "benchmarks", "migrations")
    files = (file for folder in folders for file in (ROOT / folder).rglob("*.py"))

    assert [file for file in files if len(file.read_text().splitlines()) > MOST_LINES_OF_A_FILE] == []


def test_each_room_has_a_sentence_that_says_what_it_is_for() -> None:
    rooms = (ROOT / PACKAGE).glob("*/__init__.py")

    assert not [file.parent.name for file in rooms if not ast.get_docstring(ast.parse(file.read_text()))]
