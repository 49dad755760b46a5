"""Conversations for templates that take less."""

from fastchat.api import Message
from fastchat_worker.serving.requests.turns import plain, without_system


def test_the_system_speaks_once_and_first_and_the_user_once_in_a_row() -> None:
    messages = [
        Message(role="user", content="a"),
        Message(role="system", content="b"),
        Message(role="user", content="c"),
        Message(role="assistant", content="d"),
        Message(role="developer", content="e"),
        Message(role="user", content="f"),
    ]
    said = [(message.role, message.text) for message in plain(messages)]
    assert said == [("system", "b\n\ne"), ("user", "a\n\nc"), ("assistant", "d"), ("user", "f")]


def test_what_is_plain_already_stays_as_it_is() -> None:
    messages = [Message(role="system", content="a"), Message(role="user", content="b")]
    assert plain(messages) == messages


def test_without_a_system_the_user_begins_with_its_text() -> None:
    messages = [
        Message(role="system", content="a"),
        Message(role="user", content="b"),
        Message(role="assistant", content="c"),
    ]
    said = [(message.role, message.text) for message in without_system(messages)]
    assert said == [("user", "a\n\nb"), ("assistant", "c")]
    assert without_system(messages[1:]) == messages[1:]
    assert without_system(messages[:1]) == messages[:1]
