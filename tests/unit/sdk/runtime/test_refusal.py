"""Refusals in OpenAI's shape."""

import json

from fastchat._runtime.refusal import RefusalError, too_complex, too_large


def test_a_refusal_is_an_error_document_and_says_the_same_as_an_exception():
    refused = RefusalError(413, too_large(100))
    assert str(refused) == "The body is larger than 100 bytes."
    assert json.loads(refused.body)["error"] == {
        "message": "The body is larger than 100 bytes.",
        "type": "invalid_request_error",
        "param": None,
        "code": "request_too_large",
    }


def test_too_much_structure_says_of_what():
    assert too_complex(ValueError("it has 7 tails")).message == "The body is more than is served: it has 7 tails."
