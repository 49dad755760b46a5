"""Embeddings as the wire has them, and as floats."""

import array
import base64
import sys

from fastchat import api


def read_embeddings(body: bytes | str) -> api.EmbeddingResponse:
    """An embedding response with its vectors as lists of floats, whichever way they were sent.

    Raises:
        ValueError: not such a response, or not base64 of float32.
    """
    response = api.EmbeddingResponse.model_validate_json(body)
    for item in response.data:
        if isinstance(item.embedding, str):
            item.embedding = _floats(base64.b64decode(item.embedding, validate=True))
    return response


def _floats(vector: bytes) -> list[float]:
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
