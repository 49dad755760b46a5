import base64
import json
import struct

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat import errors
from fastchat._client.protocol import Call, handle_response
from fastchat._client.vectors import read_embeddings


def embedding_body(*vectors: object) -> bytes:
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data}).encode()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_base64_gives_the_floats_that_were_encoded(vector: list[float]) -> None:
    encoded = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    assert read_embeddings(embedding_body(encoded)).data[0].embedding == vector


def test_a_server_that_sends_floats_anyway_is_understood() -> None:
    assert [item.embedding for item in read_embeddings(embedding_body([0.5, 1], [2, 3])).data] == [[0.5, 1], [2, 3]]


@pytest.mark.parametrize("vector", ["AAA=", "AAAAA", "AAAA!AA=="])
def test_a_vector_that_is_not_base64_of_float32_is_an_error(vector: str) -> None:
    call = Call("/v1/embeddings", read_embeddings)
    request = httpx.Request("POST", "http://gateway/v1/embeddings")
    with pytest.raises(errors.APIResponseError):
        handle_response(call, httpx.Response(200, request=request, content=embedding_body(vector)))
