"""No field of OpenAI's requests is unknown here, but for those that docs/api.md names."""

import pytest
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

from fastchat.api import ChatCompletionRequest, CompletionRequest, EmbeddingRequest
from fastchat.api.responses import ResponsesRequest

IGNORED = {"access_programs", "background_options", "context_management", "image"}
THEIRS = [
    (ChatCompletionRequest, chat_create_params.CompletionCreateParamsBase),
    (CompletionRequest, completion_create_params.CompletionCreateParamsBase),
    (EmbeddingRequest, embedding_create_params.EmbeddingCreateParams),
    (ResponsesRequest, response_create_params.ResponseCreateParamsBase),
]


@pytest.mark.parametrize(("ours", "theirs"), THEIRS)
def test_every_field_of_openais_request_is_known(ours, theirs):
    assert theirs.__annotations__.keys() - ours.model_fields.keys() - IGNORED == set()
