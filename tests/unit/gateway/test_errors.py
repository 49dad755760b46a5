import json

import pytest

from fastchat_gateway import errors


def test_a_refusal_is_a_json_document_in_openais_shape() -> None:
    assert json.loads(errors.model_not_found("x").body) == {
        "error": {
            "message": "The model 'x' does not exist; GET /v1/models lists those that do.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


def test_a_refusal_is_one_sse_event_whatever_the_message() -> None:
    event = errors.model_not_found("a\n\nb").event("completions", "", 0)
    assert event.startswith(b'data: {"error":')
    assert event.index(b"\n\n") == len(event) - 2


def test_a_long_name_is_not_sent_back_whole() -> None:
    assert len(errors.model_not_found("x" * 10_000).body) < 1000


def test_a_workers_own_error_is_kept() -> None:
    refused = errors.from_worker(400, b'{"error": {"message": "too long", "param": "messages"}}')
    assert (refused.status, refused.error.message, refused.error.param) == (400, "too long", "messages")


@pytest.mark.parametrize("body", [b"", b"oops", b"[]", b'{"detail": "x"}'])
def test_a_workers_strange_error_becomes_ours(body: bytes) -> None:
    assert errors.from_worker(418, body).error.message == "The worker answered with status 418."
