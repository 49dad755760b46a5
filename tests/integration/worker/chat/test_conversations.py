"""Our conversations beside FastChat's own: `get_prompt()` of fschat 0.2.36. The whole file takes 5 s."""

from typing import Any

import pytest
from support import fschat

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
PATHS = """
lmsys/vicuna-7b-v1.5
lmsys/vicuna-13b-v1.3
lmsys/vicuna-7b-v1.5-16k
lmsys/vicuna-13b-delta-v0
vicuna-7b-v0
/models/lmsys/vicuna-33b-v1.3/
lmsys/longchat-7b-32k-v1.5
jondurbin/airoboros-l2-70b-2.1
jondurbin/airoboros-l2-13b-2.2.1
jondurbin/spicyboros-7b-2.2
jondurbin/airoboros-l2-70b-3.1.2
young-geng/koala
chavinlo/alpaca-13b
tatsu-lab/alpaca-7b-wdiff
THUDM/chatglm-6b
THUDM/chatglm2-6b
THUDM/chatglm3-6b-32k
THUDM/codegeex2-6b
databricks/dolly-v2-12b
OpenAssistant/oasst-sft-4-pythia-12b-epoch-3.5
OpenAssistant/oasst-sft-1-pythia-12b
OpenAssistant/oasst-sft-7-llama-30b
openassistant-sft-7-llama-30b-hf
openchat/openchat_3.5
berkeley-nest/Starling-LM-7B-alpha
tenyx/TenyxChat-7B-v1
stabilityai/stablelm-tuned-alpha-7b
project-baize/baize-v2-7b
BlinkDL/rwkv-4-raven
OpenBuddy/openbuddy-7b-v1.3-bf16
FreedomIntelligence/phoenix-inst-chat-7b
mosaicml/mpt-7b-chat
mosaicml/mpt-30b-chat
mosaicml/mpt-30b-instruct
mosaicml/mpt-7b
Neutralzz/BiLLa-7B-SFT
togethercomputer/RedPajama-INCITE-7B-Chat
h2oai/h2ogpt-gm-oasst1-en-2048-open-llama-7b
h2oai/h2ogpt-4096-llama2-7b-chat
OptimalScale/robin-7b-v2-delta
nomic-ai/gpt4all-13b-snoozy
WizardLM/WizardLM-13B-V1.0
WizardLM/WizardLM-70B-V1.0
WizardLM/WizardLM-7B-V1.0
WizardLM/WizardCoder-15B-V1.0
openaccess-ai-collective/manticore-13b-chat-pyg
timdettmers/guanaco-33b-merged
camel-ai/CAMEL-13B-Combined-Data
polyglot-chang
allenai/tulu-30b
tiiuae/falcon-7b-instruct
tiiuae/falcon-40b-instruct
tiiuae/falcon-180B-chat
tigerresearch/tigerbot-7b-sft
baichuan-inc/Baichuan-13B-Chat
baichuan-inc/Baichuan2-13B-Chat
baichuan-inc/baichuan-7B
Salesforce/xgen-7b-8k-inst
internlm/internlm-chat-7b
HuggingFaceH4/starchat-beta
meta-llama/Llama-2-7b-chat-hf
codellama/CodeLlama-7b-Instruct-hf
fudanNLP/CuteGPT
Open-Orca/Mistral-7B-OpenOrca
Open-Orca/OpenOrcaxOpenChat-Preview2-13B
ehartford/dolphin-2.2.1-mistral-7b
teknium/OpenHermes-2.5-Mistral-7B
teknium/OpenHermes-2-Mistral-7B
NousResearch/Nous-Hermes-2-Mixtral-8x7B-DPO
NousResearch/Nous-Hermes-2-Mixtral-8x7B-SFT
NousResearch/Nous-Hermes-13b
mistralai/Mistral-7B-Instruct-v0.1
mistralai/Mixtral-8x7B-Instruct-v0.1
Qwen/Qwen-7B-Chat
BAAI/AquilaChat-7B
BAAI/AquilaChat2-7B
BAAI/AquilaChat2-34B
BAAI/AquilaChat2-7B-16K
BAAI/AquilaChat2-34B-16K
FlagAlpha/Llama2-Chinese-13b-Chat
bofenghuang/vigogne-2-7b-instruct
bofenghuang/vigogne-2-7b-chat
bofenghuang/vigostral-7b-chat
VMware/open-llama-7b-open-instruct
FreedomIntelligence/ReaLM-7b-v1
Phind/Phind-CodeLlama-34B-v2
lcw99/llama2-ko-chang-13b-instruct-chat
HuggingFaceH4/zephyr-7b-alpha
argilla/notus-7b-v1
rishiraj/CatPPT
TinyLlama/TinyLlama-1.1B-Chat-v1.0
Xwin-LM/Xwin-LM-7B-V0.1
OpenLemur/lemur-70b-chat-v1
PygmalionAI/pygmalion-2-13b
PygmalionAI/mythalion-13b
PygmalionAI/metharme-13b
microsoft/Orca-2-7b
xDAN-AI/xDAN-L1-Chat-RL-v1
01-ai/Yi-34B-Chat
deepseek-ai/deepseek-coder-33b-instruct
deepseek-ai/deepseek-llm-67b-chat
meta-math/MetaMath-7B-V1.0
jondurbin/bagel-34b-v0.2
upstage/SOLAR-10.7B-Instruct-v1.0
liuhaotian/llava-v1.5-7b
IEITYuan/Yuan-2B
CarperAI/stable-vicuna-13b
hfl/chinese-alpaca-2-13b
team/prompt-tuned
EleutherAI/pythia-12b
lmsys/fastchat-t5-3b-v1.0
HuggingFaceTB/SmolLM2-135M
""".split()
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


@pytest.mark.parametrize("path", PATHS)
def test_a_model_gets_the_conversation_that_fastchat_gives_it(path, fastchats):
    theirs = fastchats["chosen"][path]
    assert by_name(path) == CHOSEN_OTHERWISE.get(path, theirs)
    assert (by_name(path) == theirs) is (path not in CHOSEN_OTHERWISE)
