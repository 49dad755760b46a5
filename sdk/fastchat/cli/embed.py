"""`fastchat embed`: lines as vectors."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from fastchat.cli import options
from fastchat.cli.console import say
from fastchat.cli.errors import CommandError

if TYPE_CHECKING:
    from fastchat._client.clients import Client

BATCH = 64
"""Lines in a request: a worker computes them together."""


def embed(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]…", help="each a vector; without any, the lines of stdin")
    ] = None,
    model: options.Model = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="FILE.jsonl, or FILE.npy for numpy; default: stdout"),
    ] = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    namespace: options.OfServer = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Make vectors of texts, in their order.

    On stdout, and in FILE.jsonl, each is a line {"text": …, "embedding": […]}; FILE.npy is an array of float32, a row
    for each text. Lines without a word are left out.
    """
    from fastchat.cli import connection

    if output is not None and output.suffix not in (".jsonl", ".npy"):
        raise typer.BadParameter(f"{output} is neither FILE.jsonl nor FILE.npy", param_hint="--output")
    with connection.server(url, api_key, namespace, context, kubeconfig).client() as client:
        name = connection.choose_model(client, "Embed", model)
        vectors = _vectors(client, name, texts or _lines())
        count = _write(vectors, output)
    if output is not None:
        say(f"{count} vectors of {name} are in {output}")


def _lines() -> Iterator[str]:
    import sys

    if sys.stdin is None or sys.stdin.isatty():
        raise typer.BadParameter("there is no text: give it as arguments, or a line each on stdin")
    try:
        yield from (line.rstrip("\r\n") for line in sys.stdin)
    except UnicodeDecodeError:
        raise CommandError("stdin is no text in UTF-8") from None


def _vectors(client: "Client", model: str, texts: Iterable[str]) -> Iterator[tuple[str, list[float]]]:
    """Each text with its vector, as many at a time as a request takes."""
    import itertools

    wanted = (text for text in texts if text.strip())
    while batch := list(itertools.islice(wanted, BATCH)):
        response = client.embeddings.create(model=model, input=batch)
        embeddings = [item.embedding for item in sorted(response.data, key=lambda item: item.index)]
        if len(embeddings) != len(batch):
            raise CommandError(f"{len(batch)} texts were sent, and {len(embeddings)} vectors came back")
        yield from zip(batch, (list(map(float, embedding)) for embedding in embeddings), strict=True)


def _write(vectors: Iterator[tuple[str, list[float]]], output: Path | None) -> int:
    """Write the vectors where they belong. Returns how many there were."""
    import sys

    if output is None:
        return _write_lines(vectors, sys.stdout)
    try:
        if output.suffix == ".npy":
            rows = [vector for _, vector in vectors]
            output.write_bytes(_npy(rows))
            return len(rows)
        with output.open("w") as file:
            return _write_lines(vectors, file)
    except OSError as error:
        raise CommandError(f"cannot write {output}: {error.strerror}") from None


def _write_lines(vectors: Iterator[tuple[str, list[float]]], file: IO[str]) -> int:
    import json

    count = 0
    for text, embedding in vectors:
        file.write(json.dumps({"text": text, "embedding": embedding}, ensure_ascii=False) + "\n")
        count += 1
    file.flush()
    return count


def _npy(rows: Sequence[Sequence[float]]) -> bytes:
    """An array of float32 as numpy has it in a file, without numpy.

    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    import array
    import sys

    shape = (len(rows), len(rows[0]) if rows else 0)
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    numbers = array.array("f", (number for row in rows for number in row))
    if sys.byteorder == "big":
        numbers.byteswap()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + numbers.tobytes()
