"""How far a worker is that loads: what is told of it by its phases, its downloads and the reading of its weights."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from fastchat.demand import Loading, LoadPhase

_T = TypeVar("_T")

_DOWNLOADING = ("looking for", "another worker")
_LOADING = ("checking", "loading", "laying out")
_WARMING_UP = ("making room", "reading the tokens")
"""How the reports begin from which on a phase goes on."""
_STEADY_SECONDS = 1.0
"""After which a rate says something about the rest."""
_WEIGHTS = "Loading weights"
"""What transformers calls its own progress."""


class Transfer(NamedTuple):
    """Bytes of a download: those that are here, and all. `seconds_left`: at the present rate; None: not known."""

    done: int
    total: int
    seconds_left: float | None = None


class Report(Protocol):
    """Hears what goes on while a model is loaded.

    far: of a download, the bytes; of weights that are read, the share that is in memory, 0 to 1.
    """

    def __call__(self, detail: str, far: Transfer | float | None = None, /) -> None: ...


class LoadProgress:
    """The phase that goes on, and how far it is. May be told by any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._phase: LoadPhase = "Loading"
        self._transfer: Transfer | None = None
        self._total: int | None = None
        self._share = self._began_with = 0.0
        self._began = self._heard = clock()

    def report(self, detail: str, far: Transfer | float | None = None) -> None:
        """What goes on now, as a Report hears it."""
        self._transfer, self._heard = (far if isinstance(far, Transfer) else None), self._clock()
        if isinstance(far, float):
            self._read(far)
        elif self._transfer or detail.startswith(_DOWNLOADING):
            self._phase = "Downloading"
        elif detail.startswith(_LOADING):
            self._phase = "Loading"
        elif detail.startswith(_WARMING_UP):
            self._phase = "WarmingUp"

    def begin_weights(self, total: int) -> None:
        """The model's files are here, and have so many bytes."""
        self._phase, self._transfer, self._total = "Loading", None, total
        self._read(0.0)

    def _read(self, share: float) -> None:
        """A smaller share than before: the weights are gone through again."""
        if share <= self._share:
            self._began, self._began_with = self._clock(), share
        self._share = share

    def told(self) -> Loading:
        """What `/ready` says."""
        if self._phase == "Downloading" and self._transfer:
            done, total, left = self._transfer
            since = self._clock() - self._heard
            return Loading("Downloading", done, total, _whole(left and max(left - since, 0.0)))
        if self._phase == "Loading" and self._total:
            return Loading("Loading", round(self._share * self._total), self._total, _whole(self._seconds_left()))
        return Loading(self._phase)

    def _seconds_left(self) -> float | None:
        """At the rate since the first weight was read."""
        seconds, gained = self._clock() - self._began, self._share - self._began_with
        return seconds / gained * (1 - self._share) if gained > 0 and seconds >= _STEADY_SECONDS else None


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


@contextmanager
def following_transformers(read: Callable[[float], None]) -> Iterator[None]:
    """`read` hears which share of the weights transformers has in memory, wherever it loads a model meanwhile."""
    from transformers.utils import logging

    def hook(make: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        bar = make(*args, **options)
        return _counted(args[0], read) if args and options.get("desc") == _WEIGHTS else bar

    before = logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def _counted(things: Collection[_T], read: Callable[[float], None]) -> Iterator[_T]:
    """Each thing; `read` hears which share of them was gone through."""
    total = len(things)
    for number, thing in enumerate(things):
        read(number / total)
        yield thing
    read(1.0)
