"""A queue that is fair between keys, and between the requests of one."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Keys take turns, requests of one key take turns, and what belongs to one request comes in order.

    So who brings little waits for one of each of the others, not for all that they have brought.
    """

    def __init__(self) -> None:
        self._keys: dict[str, dict[Hashable, deque[T]]] = {}
        """Key → request → what waits of it. Whose turn it is stands first."""

    def __len__(self) -> int:
        return sum(map(self.count, list(self._keys)))

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __iter__(self) -> Iterator[T]:
        """In no order that matters."""
        return (item for requests in self._keys.values() for items in requests.values() for item in items)

    def count(self, key: str) -> int:
        """How many of a key's wait."""
        return sum(map(len, list(self._keys.get(key, {}).values())))

    def add(self, key: str, request: Hashable, item: T) -> None:
        self._keys.setdefault(key, {}).setdefault(request, deque()).append(item)

    @property
    def next(self) -> T:
        """Whose turn it is."""
        requests = next(iter(self._keys.values()))
        return next(iter(requests.values()))[0]

    def pop(self) -> T:
        """Take out whose turn it is; its key and its request come last from here on."""
        key, requests = next(iter(self._keys.items()))
        return self._take_out(key, next(iter(requests)), 0)

    def take(self, choose: Callable[[Sequence[T]], int | None]) -> Iterator[T]:
        """Take out one after the other, by turns; `choose` says which of a request's, by its place in their order.

        A request of which it says None is not asked again here, and keeps its turn.
        """
        passed: set[Hashable] = set()
        while found := self._first(choose, passed):
            yield self._take_out(*found)

    def _first(
        self, choose: Callable[[Sequence[T]], int | None], passed: set[Hashable]
    ) -> tuple[str, Hashable, int] | None:
        for key, requests in self._keys.items():
            for request, items in requests.items():
                if request not in passed:
                    if (at := choose(items)) is not None:
                        return key, request, at
                    passed.add(request)
        return None

    def _take_out(self, key: str, request: Hashable, at: int) -> T:
        requests = self._keys.pop(key)
        items = requests.pop(request)
        item = items[at]
        del items[at]
        if items:
            requests[request] = items
        if requests:
            self._keys[key] = requests
        return item

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Drop all others."""
        if all(map(wanted, self)):
            return
        kept: Turns[T] = Turns()
        for key, requests in self._keys.items():
            for request, items in requests.items():
                for item in filter(wanted, items):
                    kept.add(key, request, item)
        self._keys = kept._keys


def has_room(limit: int, waiting: int, of_key: int, new: int) -> bool:
    """Whether `new` more of a key may wait where `limit` may, and `waiting` do, `of_key` of them the key's own.

    One request always may, while there is room; beyond it a key leaves half of the room to others that may come
    (dynamic thresholds, https://doi.org/10.1109/90.664262).
    """
    if waiting + new > limit:
        return False
    return not of_key or of_key + new <= (limit - (waiting - of_key) + 1) // 2
