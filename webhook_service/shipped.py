"""The service's files that are not modules: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

CHECKOUT = _PACKAGE.parent if (_PACKAGE.parent / "pyproject.toml").is_file() else None
"""The project's folder when the package runs from a checkout; None when it is installed."""


def shipped(path: str) -> Path:
    """Finds a file or a folder by its path in a checkout."""
    return (CHECKOUT or _PACKAGE) / path
