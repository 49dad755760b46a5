"""Texts as vectors, from the models of a FastChat gateway and from OpenAI's.

The gateway is http://localhost:8000, or FASTCHAT_BASEURL. OpenAI's models need OPENAI_API_KEY; the texts then go there.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastchat import client

BATCH = 64
OPENAI_MODEL = "text-embedding-3-small"


@dataclass(frozen=True)
class Model:
    """A model, and whether it is OpenAI that serves it."""

    name: str
    openai: bool = False


@dataclass(frozen=True)
class Embedded:
    """The vectors of some texts, [texts, dimensions], and the seconds they took."""

    vectors: NDArray[np.float64]
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--model`."""
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        default=[],
        metavar="NAME",
        help="a model to compare, may be repeated "
        f"(default: all that are served, and {OPENAI_MODEL} if OPENAI_API_KEY is set)",
    )


def find(names: Sequence[str]) -> list[Model]:
    """The models of these names. No names: every served model once, and one of OpenAI's if its key is set.

    Raises:
        ValueError: a name that nobody serves.
        fastchat.errors.FastChatError: the gateway cannot be asked.
    """
    cards = client.Model.list().data
    if not names:
        names = [card.id for card in cards if card.root in (None, card.id)]  # an alias has its model's name as root
        names += [OPENAI_MODEL] if os.environ.get("OPENAI_API_KEY") else []
    served = [card.id for card in cards]
    return [_find(name, served) for name in dict.fromkeys(names)]


def _find(name: str, served: Sequence[str]) -> Model:
    if name in served:
        return Model(name)
    if not name.startswith("text-embedding-"):  # a misspelt name must not send the texts to another company
        raise ValueError(f"{name} is not served here; served are {', '.join(served) or 'no models'}.")
    if not os.environ.get("OPENAI_API_KEY"):
        raise ValueError(f"{name} is not served here, and OpenAI's needs OPENAI_API_KEY.")
    return Model(name, openai=True)


def embed(model: Model, texts: Sequence[str]) -> Embedded:
    """The vectors of the texts, in their order. Texts that are too long for the model are cut, except by OpenAI's.

    Raises:
        fastchat.errors.FastChatError: the server's refusal, or no answer.
    """
    print(f"{model.name}: {len(texts)} texts", file=sys.stderr)
    started = time.perf_counter()
    with _openai() if model.openai else nullcontext():
        vectors = [vector for batch in _batches(texts) for vector in _vectors(model, batch)]
    return Embedded(np.array(vectors), time.perf_counter() - started)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), BATCH):
        yield list(texts[start : start + BATCH])


def _vectors(model: Model, texts: list[str]) -> list[list[float]]:
    # -1: cut a text to what the model takes instead of refusing it. vLLM's extension of the API, and FastChat's.
    cut = {} if model.openai else {"truncate_prompt_tokens": -1}
    answer = client.Embedding.create(model=model.name, input=texts, **cut)
    return [item.embedding for item in answer.data]


@contextmanager
def _openai() -> Iterator[None]:
    """The client calls one server at a time: turn it to OpenAI, and back."""
    client.set_baseurl(os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com")
    client.set_api_key(os.environ["OPENAI_API_KEY"])
    try:
        yield
    finally:
        client.set_baseurl(None)
        client.set_api_key(None)
