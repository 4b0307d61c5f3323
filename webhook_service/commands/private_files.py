"""Files that hold messages, and that only their owner may read."""

import os
from pathlib import Path
from typing import BinaryIO


def create_private(path: Path) -> BinaryIO:
    """Makes a file with the permissions 0600, or empties the one that is there, and opens it to write bytes."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b")
