"""Prompts of agents, for templates that take less than they send."""

from typing import Any

import pytest

from fastchat.api import ChatCompletionRequest, Message
from fastchat_worker.errors import RequestError, TooLongError, bad_request
from fastchat_worker.serving.prompts import Prompts
from fastchat_worker.serving.requests import prompts
from fastchat_worker.serving.requests.prompts import agent_prompts, count_tokens

TURNS = [
    Message(role="system", content="a"),
    Message(role="user", content="b"),
    Message(role="system", content="c"),
    Message(role="user", content="d"),
]


def taking(*roles: str) -> Any:
    """A template that takes these roles in this order and no others; a token a character."""

    def prompts_of(_: Any, request: ChatCompletionRequest) -> Prompts:
        if [message.role for message in request.messages] != list(roles):
            raise bad_request("The model's chat template refuses these messages.", "messages")
        return Prompts(
            [list("".join(message.text for message in request.messages).encode())], 99 - (request.limit or 0)
        )

    return prompts_of


def said(monkeypatch: Any, prompts_of: Any, **fields: Any) -> tuple[str, int]:
    monkeypatch.setattr(prompts, "chat_prompts", prompts_of)
    found = agent_prompts(None, ChatCompletionRequest(model="m", messages=TURNS, **fields))  # type: ignore[arg-type]
    return bytes(found.tokens[0]).decode(), found.max_tokens


@pytest.mark.parametrize(
    ("roles", "text"),
    [
        (("system", "user", "system", "user"), "abcd"),
        (("system", "user"), "a\n\ncb\n\nd"),
        (("user",), "a\n\nc\n\nb\n\nd"),
    ],
)
def test_turns_get_plainer_until_the_template_takes_them(monkeypatch, roles, text) -> None:
    assert said(monkeypatch, taking(*roles))[0] == text


def test_what_no_turns_make_right_is_told_of_the_first_try(monkeypatch) -> None:
    with pytest.raises(RequestError, match="refuses these messages"):
        said(monkeypatch, taking("assistant"))


@pytest.mark.parametrize(("wanted", "given"), [(None, 99), (7, 7), (32_000, 99)])
def test_the_longest_answer_is_an_upper_bound(monkeypatch, wanted, given) -> None:
    assert said(monkeypatch, taking("system", "user", "system", "user"), max_completion_tokens=wanted)[1] == given


def test_of_a_prompt_that_is_too_long_the_least_that_it_has_is_counted(monkeypatch) -> None:
    def too_long(*_: Any) -> Prompts:
        raise TooLongError(8, 1234, "your prompt has", "messages")

    monkeypatch.setattr(prompts, "chat_prompts", too_long)
    assert count_tokens(None, ChatCompletionRequest(model="m", messages=TURNS)) == 1234  # type: ignore[arg-type]
