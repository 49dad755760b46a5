"""What no worker has written is refused, and so is what another model began."""

import json
import random
from typing import Any

import httpx
import pytest

from .cutting import Progress, post
from .kinds import CHAT, ONE

KIND = {"model": "small", "stream": True, **ONE["schema"][1]}


@pytest.fixture(scope="module")
def document(pair) -> dict[str, Any]:
    """Of a stream in its middle."""
    units = post(pair[0], CHAT, KIND).chunks
    return json.loads(Progress.of(units[:6]).document(1))


def refused(url: str, before: Any, status: int = 400) -> dict[str, Any]:
    response = post(url, CHAT, KIND, before if isinstance(before, bytes) else json.dumps(before).encode())
    assert response.status == status, response
    return json.loads(response.body)["error"]


def with_choice(document: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return document | {"choices": [document["choices"][0] | fields]}


def test_another_model_is_named(pair, document):
    model, words, numbers, _ = document["model"].split(".")
    for other, named in (
        (f"0{model[1:]}1", "model or tokenizer"),
        (f"{model}.1", "template"),
        (f"{model}.{words}.1", "dtype"),
        (f"{model}.{words}.{numbers}.1", "adapter"),
    ):
        differs = ".".join([*other.split("."), *document["model"].split(".")[other.count(".") + 1 :]])
        error = refused(pair[1], document | {"model": differs}, 409)
        assert error["code"] == "cannot_resume"
        assert named in error["message"]


def test_the_digest_is_told_where_it_is_asked_for(pair, document):
    assert httpx.get(pair[0] + "/ready").json()["digest"] == document["model"]


def test_documents_that_no_worker_writes_are_refused(pair, document):
    tokens = document["choices"][0]["tokens"]
    for before in (
        b"{",
        b"[]",
        b"\xff",
        b"[" * 9999,
        document | {"choices": document["choices"] * 2},
        document | {"seed": "9"},
        document | {"seed": 9},
        document | {"more": 1},
        document | {"created": -1},
        {key: document[key] for key in ("created", "seed", "choices")},
        with_choice(document, tokens=[10**6]),
        with_choice(document, tokens=[-1]),
        with_choice(document, tokens=[1.0]),
        with_choice(document, tokens=["1"]),
        with_choice(document, tokens=[*tokens, 5, 5, 5]),
        with_choice(document, tokens=tokens * 99),
        with_choice(document, ended=True),
        with_choice(document, cached=-1),
    ):
        assert refused(pair[1], before)["code"] == "invalid_progress"


@pytest.mark.parametrize("length", ["0", "-1", "x", "1e3", "99999999999999", "１", ""])
def test_a_length_that_is_none_is_refused(pair, length):
    response = post(pair[1], CHAT, KIND, headers={"x-fastchat-resume": length.encode().decode("latin-1")})
    assert response.status == 400, response


def test_more_bytes_than_there_are_leave_no_request(pair, document):
    response = post(pair[1], CHAT, b"", json.dumps(document).encode())
    assert response.status == 400


def test_whatever_the_document_it_is_no_fault_of_the_worker(pair, document):
    written, chance = json.dumps(document).encode(), random.Random(1)
    for _ in range(150):
        spoiled = bytearray(written)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(spoiled))
            spoiled[at : at + chance.randint(0, 3)] = chance.choice((b"", b"9", b"}", b"[", b'"', b"\x00", b"-", b"e5"))
        response = post(pair[1], CHAT, KIND, bytes(spoiled))
        assert response.status in (200, 400, 409), (spoiled, response)
    assert httpx.get(pair[1] + "/health").status_code == 200
