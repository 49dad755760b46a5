"""Which requests are for workers, and what a worker does with them, by the table of routes."""

from collections.abc import Mapping
from typing import Final

from fastchat.api.routes import ENGINE_EMBEDDINGS, ROUTES

INFERENCE: Final[Mapping[str, bytes]] = {
    route.path: route.worker_path.encode() for route in ROUTES if route.task is not None
}
"""Our path → the worker's."""

GENERATES: Final = frozenset(route.worker_path.encode() for route in ROUTES if route.task == "generate")
RERANKS: Final = frozenset(route.worker_path.encode() for route in ROUTES if route.task == "rerank")
TOKENIZES: Final = frozenset(route.worker_path.encode() for route in ROUTES if route.task == "tokenize")
"""By the worker's path."""
COMPLETIONS: Final = frozenset(route.worker_path.encode() for route in ROUTES if route.style == "completions")
"""Likewise: they may be for several sequences, and their streams tell usage where they are asked to."""

_BEFORE, _AFTER = ENGINE_EMBEDDINGS.path.split("{model:path}")


def engine_in(path: str) -> str | None:
    """The model that a path of `ENGINE_EMBEDDINGS` names, which may be empty; None for any other path."""
    end = len(path) - len(_AFTER)
    if path.startswith(_BEFORE) and path.endswith(_AFTER) and end >= len(_BEFORE):
        return path[len(_BEFORE) : end]
    return None
