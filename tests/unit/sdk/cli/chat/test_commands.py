"""The /commands of a conversation."""

from pathlib import Path

import pytest

from fastchat.cli.chat.commands import HELP, Outcome, execute
from fastchat.cli.chat.conversation import Conversation
from fastchat.cli.chat.keyboard import read_text
from fastchat.cli.errors import CommandError

TURNS = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "2"},
]


@pytest.fixture
def conversation() -> Conversation:
    return Conversation("m", turns=[*TURNS])


def do(line: str, conversation: Conversation) -> Outcome:
    return execute(line, conversation, lambda: ["m", "other"])


def test_help_lists_every_command(conversation: Conversation) -> None:
    said = do("/help", conversation).text
    assert all(usage in said for usage in HELP)


@pytest.mark.parametrize("usage", HELP)
def test_every_command_of_the_help_is_there(conversation: Conversation, usage: str) -> None:
    said = ""
    try:
        do(usage.split()[0], conversation)
    except CommandError as error:
        said = str(error)
    assert "there is no command" not in said


def test_undo_takes_back_a_question_with_its_answer(conversation: Conversation) -> None:
    assert do("/undo", conversation).text == "taken back: two"
    assert conversation.turns == TURNS[:2]


def test_retry_asks_the_last_question_anew(conversation: Conversation) -> None:
    assert do("/retry", conversation).question == "two"
    assert conversation.turns == TURNS[:2]


def test_another_model_goes_on_with_the_conversation(conversation: Conversation) -> None:
    do("/model other", conversation)
    assert (conversation.model, conversation.turns) == ("other", TURNS)
    with pytest.raises(CommandError, match="no model 'none' is served; there are m, other"):
        do("/model none", conversation)


def test_the_system_prompt_goes_before_all_turns_and_can_go(conversation: Conversation) -> None:
    do("/system Be brief.", conversation)
    assert conversation.messages == [{"role": "system", "content": "Be brief."}, *TURNS]
    do("/system -", conversation)
    assert conversation.messages == TURNS


@pytest.mark.parametrize(
    ("text", "settings"),
    [("temperature=0.5", {"temperature": 0.5}), ("stop=END", {"stop": "END"}), ("stop=[1", {"stop": "[1"})],
)
def test_a_parameter_is_json_or_text(conversation: Conversation, text: str, settings: dict[str, object]) -> None:
    do(f"/set {text}", conversation)
    assert conversation.settings == settings
    do(f"/set {text.partition('=')[0]}=", conversation)
    assert conversation.settings == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/set temprature=1", "there is no parameter 'temprature'; do you mean temperature?"),
        ("/set temperature", "'temperature' sets nothing: it looks like temperature=0.7"),
        ("/set stream=true", "'stream' is the conversation's own"),
        ("/modle", "there is no command /modle; do you mean /model?"),
        ("/etc/hosts", "there is no command /etc/hosts; /help lists them; a space before it sends it as text"),
        ("/save", "/save needs the name of a file"),
        ("/load /nowhere", "cannot read /nowhere: No such file or directory"),
        ("/save /nowhere/x", "cannot write /nowhere/x: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_told_with_what_can(conversation: Conversation, line: str, message: str) -> None:
    with pytest.raises(CommandError) as raised:
        do(line, conversation)
    assert str(raised.value).startswith(message)
    assert conversation == Conversation("m", turns=TURNS)


def test_what_is_saved_is_loaded_as_it_was(conversation: Conversation, tmp_path: Path) -> None:
    conversation.system, conversation.settings = "Be brief.", {"temperature": 0}
    do(f"/save {tmp_path / 'c'}", conversation)
    other = Conversation("other")
    do(f"/load {tmp_path / 'c'}", other)
    assert other == conversation


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": 1, "system": "", "settings": {}, "messages": []}'])
def test_a_file_without_a_conversation_changes_nothing(conversation: Conversation, tmp_path: Path, text: str) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(CommandError, match="holds no conversation"):
        do(f"/load {tmp_path / 'c'}", conversation)
    assert conversation == Conversation("m", turns=TURNS)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["one"], "one"),
        (["one\\", "two\\", "three"], "one\ntwo\nthree"),
        (['"""one', "", 'two"""'], "one\n\ntwo"),
        (['"""', "one", '"""'], "one"),
        (['"""one"""'], "one"),
    ],
)
def test_a_text_of_several_lines_is_quoted_or_goes_on_after_a_backslash(lines: list[str], text: str) -> None:
    left = iter(lines)
    assert read_text(lambda _prompt: next(left)) == text
    assert list(left) == []
