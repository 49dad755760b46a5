"""Vectors of many texts, kept in a file: computed in batches, several at a time, and never twice.

    python store.py all-minilm-l6-v2 vectors.sqlite --reviews reviews-10000.csv --limit 10000

Ended by Ctrl-C, a lost gateway or a full disk, it goes on where it was when it is started again.
"""

import argparse
import hashlib
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import reviews
from numpy.typing import NDArray
from tqdm import tqdm

from fastchat import Client
from fastchat.errors import FastChatError

BATCH = 64
CONCURRENCY = 4

Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], list[list[float]]]
"""The vectors of some texts, in their order."""


class VectorStore:
    """Vectors of one model by the text that they are of, in an SQLite file: a batch is there wholly or not at all.

    Attributes:
        model: whose vectors these are; a file has room for several models'
    """

    def __init__(self, path: Path, model: str) -> None:
        """Open the file, or make it.

        Raises:
            sqlite3.Error: it is not such a file, or cannot be written.
        """
        self.model = model
        self._connection = sqlite3.connect(path)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS vectors (model TEXT, digest BLOB, vector BLOB, PRIMARY KEY (model, digest))"
        )

    def close(self) -> None:
        self._connection.close()

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Those whose vectors are not here, each once."""
        there = {row[0] for row in self._connection.execute("SELECT digest FROM vectors WHERE model = ?", [self.model])}
        return [text for text in dict.fromkeys(texts) if _digest(text) not in there]

    def add(self, texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> None:
        """Keep the vectors of some texts, in their order."""
        rows = [
            (self.model, _digest(text), np.asarray(vector, np.float32).tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        ]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def load(self, texts: Sequence[str]) -> Vectors:
        """The vectors of the texts, [texts, dimensions].

        Raises:
            KeyError: a text has none here.
        """
        rows = self._connection.execute("SELECT digest, vector FROM vectors WHERE model = ?", [self.model])
        found = {digest: np.frombuffer(vector, np.float32) for digest, vector in rows}
        return np.array([found[_digest(text)] for text in texts], np.float32)


@contextmanager
def opened(path: Path, model: str) -> Iterator[VectorStore]:
    """A store that is closed in the end."""
    store = VectorStore(path, model)
    try:
        yield store
    finally:
        store.close()


def embedder(client: Client, model: str) -> Embed:
    """Asks a gateway; texts that are too long for the model are cut."""

    def embed(texts: list[str]) -> list[list[float]]:
        response = client.embeddings.create(model=model, input=texts, truncate_prompt_tokens=-1)
        return [item.embedding for item in response.data]

    return embed


def fill(
    store: VectorStore, texts: Sequence[str], embed: Embed, batch: int = BATCH, concurrency: int = CONCURRENCY
) -> int:
    """Compute what is missing, showing how far that is; how many there were.

    Each batch is kept as soon as it is there. An error of one ends the others that have not begun, and is raised.

    Args:
        batch: texts of a request
        concurrency: requests at a time: enough to keep all workers of the model busy
    """
    missing = store.missing(texts)
    batches = [missing[start : start + batch] for start in range(0, len(missing), batch)]
    distinct = len(set(texts))
    with (
        ThreadPoolExecutor(concurrency) as pool,
        tqdm(total=distinct, initial=distinct - len(missing), unit=" texts") as bar,
    ):
        asked: dict[Future[list[list[float]]], list[str]] = {pool.submit(embed, part): part for part in batches}
        try:
            for answer in as_completed(asked):
                store.add(asked[answer], answer.result())
                bar.update(len(asked[answer]))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(missing)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("store", type=Path, metavar="FILE", help="where vectors are kept, an SQLite file")
    parser.add_argument("--batch", type=int, default=BATCH, metavar="N", help="texts of a request (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY, metavar="N", help="at a time (%(default)s)")
    reviews.add_arguments(parser)
    args = parser.parse_args()
    try:
        texts = reviews.load(args.reviews, args.limit)["document"].tolist()
        with Client() as client, opened(args.store, args.model) as store:
            fill(store, texts, embedder(client, args.model), args.batch, args.concurrency)
    except (FastChatError, OSError, ValueError, sqlite3.Error) as failure:
        sys.exit(f"{parser.prog}: {failure}")
    except KeyboardInterrupt:
        sys.exit(f"{parser.prog}: ended; the same command goes on from here")


if __name__ == "__main__":
    main()
