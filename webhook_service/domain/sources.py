"""Sources: configured senders, each with a name and an address of its own."""

NATIVE = "native"
"""The source at the bare address, of the service's own scheme."""

ADDRESS = "/webhook"


def address(source: str) -> str:
    """Returns the path that the deliveries of a source come to, below the service's base URL."""
    return ADDRESS if source == NATIVE else f"{ADDRESS}/{source}"


def source_at(path: str) -> str | None:
    """Returns the name of the source whose deliveries come to a path; None when no source's do."""
    if path == ADDRESS:
        return NATIVE
    name = path.removeprefix(f"{ADDRESS}/")
    return None if name in {path, NATIVE} or "/" in name else name
