"""A file that says which adapters are to be served, and may say something else while the worker runs."""

import logging
import threading
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fastchat_worker.errors import LoadError
from fastchat_worker.serving.adapters import ServedAdapters
from fastchat_worker.telemetry.progress import Report

logger = logging.getLogger(__name__)
_LOOK_EVERY = 1  # seconds
_RETRY_EVERY = 60  # seconds, where an adapter could not be loaded: what it comes from may be there by then
_MOST_BYTES = 2**20


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=128)
    source: str = Field(min_length=1, max_length=1024)


_ENTRIES = TypeAdapter(list[_Entry])


class AdaptersFile:
    """A JSON array of objects with `name` and `source`, in a file that is replaced as a whole."""

    def __init__(self, path: Path, adapters: ServedAdapters) -> None:
        self._path, self._adapters = path, adapters
        self._content: bytes | None = None
        self._own: set[str] = set()
        """Adapters that are served because of it; others are none of its business."""

    def load(self, report: Report) -> None:
        """Serves what it says. Raises: LoadError for the first adapter that cannot be had."""
        self._content = self._read()
        self._apply(self._content, report)

    def follow(self) -> None:
        """From here on serves what it says, for as long as the process runs."""
        threading.Thread(target=self._follow, name="adapters", daemon=True).start()

    def _follow(self) -> None:
        failed: float | None = None
        while True:
            time.sleep(_LOOK_EVERY)
            try:
                content = self._read()
                if content == self._content and (failed is None or time.monotonic() - failed < _RETRY_EVERY):
                    continue
                self._content, failed = content, None
                self._apply(content, logger.debug)
            except LoadError as error:
                failed = time.monotonic()
                logger.warning("%s; what was served before is served still", error)
            except Exception:  # whatever a library raises: the next look may find it better
                failed = time.monotonic()
                logger.exception("the adapters of %s could not all be loaded", self._path)

    def _apply(self, content: bytes, report: Report) -> None:
        """Raises: LoadError for the first that cannot be had; all others are served nevertheless."""
        wanted = {entry.name: entry.source for entry in self._entries(content)}
        for name in self._own - wanted.keys():
            self._adapters.drop(name)
        self._own &= wanted.keys()
        errors = []
        for name, source in wanted.items():
            served = self._adapters.get(name)
            if served and served.source == source and name in self._own:
                continue
            try:
                self._adapters.load(name, source, report)
                self._own.add(name)
            except LoadError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _entries(self, content: bytes) -> list[_Entry]:
        try:
            entries = _ENTRIES.validate_json(content)
        except ValidationError as error:
            wrong = error.errors()[0]
            where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in wrong["loc"])
            raise LoadError(f"{self._path}{where}: {wrong['msg']}") from None
        names = [entry.name for entry in entries]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise LoadError(f"{self._path}: {twice} is the name of two: each adapter has a name of its own")
        return entries

    def _read(self) -> bytes:
        """Raises: LoadError where it cannot be read."""
        try:
            with self._path.open("rb") as file:
                return file.read(_MOST_BYTES)
        except OSError as error:
            raise LoadError(f"{self._path} cannot be read: {error.strerror}") from None
