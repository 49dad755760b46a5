"""Adapters that an executor has loaded, for as long as somebody runs with them."""

import weakref
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from fastchat_worker.engine.executor import Executor
from fastchat_worker.sources.digest import files_digest
from fastchat_worker.sources.layout import adapter_layout


@dataclass(frozen=True, eq=False)
class LoadedAdapter:
    """An adapter that an executor knows by its key, for as long as this object is there.

    key: another one each time that an adapter is loaded, also under the same name. digest: of its files.
    """

    name: str
    key: str
    digest: str = ""


class AdapterLoader:
    """Loads adapters for sequences to run with; each is unloaded when nothing refers to it any more."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._number = count(1)

    def load(self, name: str, folder: Path) -> LoadedAdapter:
        """The adapter of a folder in PEFT's layout. Raises: LoadError where it does not fit the model."""
        names = adapter_layout((file.name for file in folder.iterdir()), folder).files
        loaded = LoadedAdapter(name, f"{name}#{next(self._number)}", files_digest(folder, names))
        self._executor.add_adapter(loaded.key, name, folder)
        weakref.finalize(loaded, self._executor.remove_adapter, loaded.key).atexit = False
        return loaded
