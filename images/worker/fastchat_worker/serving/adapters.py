"""The adapters of this worker's model by the names that requests have for them."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastchat.api import now
from fastchat_worker.engine.adapters import AdapterLoader, LoadedAdapter
from fastchat_worker.errors import LoadError
from fastchat_worker.sources.files import locate_adapter
from fastchat_worker.telemetry.progress import Report

logger = logging.getLogger(__name__)
_MOST = 64


@dataclass(frozen=True)
class ServedAdapter:
    """An adapter that requests can name. source: as it was asked for. created: seconds since 1970."""

    name: str
    source: str
    created: int
    loaded: LoadedAdapter


class ServedAdapters:
    """Names are looked up on any thread; adapters are loaded and dropped one at a time."""

    def __init__(self, loader: AdapterLoader, base: str, cache_dir: Path) -> None:
        self._loader, self._base, self._cache_dir = loader, base, cache_dir
        self._changing = threading.Lock()
        self._served: dict[str, ServedAdapter] = {}

    def __iter__(self) -> Iterator[ServedAdapter]:
        return iter(tuple(self._served.values()))

    def get(self, name: str) -> ServedAdapter | None:
        return self._served.get(name)

    def load(self, name: str, source: str, report: Report) -> ServedAdapter:
        """Serves what a source has under a name from here on, in place of what had that name before.

        Raises: LoadError, which says what to change; what was served before is served still.
        """
        if name == self._base:
            raise LoadError(f"adapter {name} has the name of its base: each adapter has a name of its own")
        if name not in self._served and len(self._served) >= _MOST:
            raise LoadError(f"adapter {name}: a worker serves {_MOST} adapters at most")
        with self._changing:
            report(f"loading adapter {name}")
            folder = locate_adapter(source, self._cache_dir, report)
            loaded = self._loader.load(name, folder)
            served = self._served[name] = ServedAdapter(name, source, now(), loaded)
        logger.info("serving adapter %s of %s", name, source)
        return served

    def drop(self, name: str) -> bool:
        """Whether there was one: no request finds it any more, and those that run with it go on to their end."""
        with self._changing:
            dropped = self._served.pop(name, None)
        if dropped:
            logger.info("adapter %s is served no more", name)
        return dropped is not None
