"""Pages of a list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item, Place]):
    """A part of a list; ``next`` is the place after which the next page begins, and None on the last page."""

    items: Sequence[Item]
    next: Place | None

    @classmethod
    def cut(cls, found: Sequence[Item], limit: int, place: Callable[[Item], Place]) -> Self:
        """Makes a page of at most ``limit`` items from a query for one more, which shows whether there is a next page.

        ``place`` returns the place of an item in the list.
        """
        items = found[:limit]
        return cls(items, place(items[-1]) if len(found) > limit else None)
