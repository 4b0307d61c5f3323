"""gunicorn's settings, for a worker that never changes them."""

from typing import Any


class FixedConfig:
    """gunicorn's settings, each found out on its first use.

    gunicorn looks twenty of them up for each request, and a look-up in its own ``Config`` takes it three calls.
    """

    def __init__(self, config: Any) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        """Returns a setting, or a method of the ``Config``; Python calls this for what is not an attribute yet."""
        value = getattr(self._config, name)
        setattr(self, name, value)
        return value
