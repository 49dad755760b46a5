"""Our conversations beside FastChat's own: `get_prompt()` of fschat 0.2.36. 10 s."""

from pathlib import Path
from typing import Any

import pytest
from integration.worker.chat import fschat

from fastchat_worker.chat.conversations.names import by_name
from fastchat_worker.chat.conversations.registry import CONVERSATIONS
from fastchat_worker.chat.jinja import ChatProgram

HELLO = ("user", "Hello! Who are you?")
SAID = ("assistant", "I am a model.\nAsk me.")
MORE = ("user", "Tell me a story,\n\nthe second paragraph of it.")
SYSTEM = ("system", "You are terse.")
NEXT = ("assistant", None)
DIALOGUES: dict[str, fschat.Dialogue] = {
    "one turn": [HELLO, NEXT],
    "a system text and two turns": [SYSTEM, HELLO, SAID, MORE, NEXT],
    "two turns without a system text": [HELLO, SAID, MORE, NEXT],
    "ends with the assistant": [HELLO, SAID],
}
NOT_SHIPPED = {"chatgpt", "pplxai", "claude", "bard", "gemini", "steerlm", "yuan2"}
"""Models of closed APIs, and two whose conversations have no text or another order: docs/models.md."""
OTHERWISE = {
    ("deepseek-coder", "a system text and two turns"),
    ("Yi-34b-chat", "a system text and two turns"),
    ("yuan", "a system text and two turns"),
}
"""What is written otherwise by intent: docs/models.md says why."""
PATHS = Path(__file__).with_name("paths.txt").read_text().split()
"""As people name them: on the hub, in a folder, by hand."""
CHOSEN_OTHERWISE = {
    "hfl/chinese-alpaca-2-13b": "chinese-alpaca2",
    "team/prompt-tuned": None,
    "EleutherAI/pythia-12b": None,
    "lmsys/fastchat-t5-3b-v1.0": None,
    "HuggingFaceTB/SmolLM2-135M": None,
}
"""FastChat takes every model that it does not know for one_shot; we say that there is no template."""


@pytest.fixture(scope="module")
def fastchats() -> Any:
    return fschat.ask(list(DIALOGUES.values()), PATHS)


def written(name: str, dialogue: fschat.Dialogue) -> str:
    messages = [{"role": role, "content": text} for role, text in dialogue if text is not None]
    program = ChatProgram(CONVERSATIONS[name].jinja)
    return program.render({"messages": messages, "add_generation_prompt": dialogue[-1] == NEXT})


def test_every_open_family_of_fastchat_ships(fastchats):
    assert set(CONVERSATIONS) == set(fastchats["conversations"]) - NOT_SHIPPED


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_is_written_as_fastchat_writes_it(name, fastchats):
    theirs = dict(zip(DIALOGUES, fastchats["conversations"][name]["prompts"], strict=True))
    ours = {title: written(name, dialogue) for title, dialogue in DIALOGUES.items()}
    same = {title for title in DIALOGUES if ours[title] == theirs[title]}
    for title in DIALOGUES:
        if (name, title) not in OTHERWISE:
            assert ours[title] == theirs[title], title
    assert same == {title for title in DIALOGUES if (name, title) not in OTHERWISE}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_an_answer_ends_at_fastchats_stop_texts(name, fastchats):
    stops = fastchats["conversations"][name]["stop_str"] or []
    assert list(CONVERSATIONS[name].stop_texts) == ([stops] if isinstance(stops, str) else stops)


def test_the_page_about_models_has_a_row_for_each(fastchats):
    page = (Path(__file__).parents[4] / "docs/models.md").read_text()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert set(CONVERSATIONS) <= set(rows)
    explained = page.partition("not as FastChat has it")[2]
    assert not [name for name in {*NOT_SHIPPED, *(name for name, _ in OTHERWISE)} if f"`{name}`" not in explained]


@pytest.mark.parametrize("path", PATHS)
def test_a_model_gets_the_conversation_that_fastchat_gives_it(path, fastchats):
    theirs = fastchats["chosen"][path]
    assert by_name(path) == CHOSEN_OTHERWISE.get(path, theirs)
    assert (by_name(path) == theirs) is (path not in CHOSEN_OTHERWISE)
