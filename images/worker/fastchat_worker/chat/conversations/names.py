"""Which conversation a model is meant for, by its name or its architecture.

Source: FastChat 0.2.36's model adapters, in their order, for the first that matches counts.
"""

import re

_NAMES = tuple(
    (re.compile(pattern, re.IGNORECASE), conversation)
    for pattern, conversation in (
        (r"stable-vicuna", "stable-vicuna"),
        (r"vicuna[^/]*v0|v0[^/]*vicuna", "one_shot"),
        (r"vicuna|longchat", "vicuna_v1.1"),
        (r"(airoboros|spicyboros).*-3[.p]", "airoboros_v3"),
        (r"spicyboros|airoboros.*-2\.[2-9]", "airoboros_v2"),
        (r"airoboros", "airoboros_v1"),
        (r"koala", "koala_v1"),
        (r"chinese-alpaca", "chinese-alpaca2"),
        (r"alpaca", "alpaca"),
        (r"chatglm2", "chatglm2"),
        (r"chatglm3", "chatglm3"),
        (r"chatglm", "chatglm"),
        (r"codegeex", "codegeex"),
        (r"dolly-v2", "dolly_v2"),
        (r"oasst.*pythia|pythia.*oasst", "oasst_pythia"),
        (r"oasst|openassistant-sft-7-llama-30b-hf", "oasst_llama"),
        (r"openchat.*3\.5|3\.5.*openchat|starling-lm", "openchat_3.5"),
        (r"tenyxchat", "tenyxchat"),
        (r"stablelm", "stablelm"),
        (r"baize", "baize"),
        (r"rwkv-4", "rwkv"),
        (r"openbuddy", "openbuddy"),
        (r"phoenix", "phoenix"),
        (r"mpt-7b-chat", "mpt-7b-chat"),
        (r"mpt-30b-chat", "mpt-30b-chat"),
        (r"mpt-30b-instruct", "mpt-30b-instruct"),
        (r"(?<![a-z])mpt", "zero_shot"),
        (r"billa", "billa"),
        (r"redpajama-incite", "redpajama-incite"),
        (r"h2ogpt", "h2ogpt"),
        (r"robin", "Robin"),
        (r"gpt4all.*snoozy|snoozy.*gpt4all", "snoozy"),
        (r"wizardlm.*(13b|30b|70b)|(13b|30b|70b).*wizardlm", "vicuna_v1.1"),
        (r"wizardlm", "one_shot"),
        (r"manticore", "manticore"),
        (r"guanaco", "zero_shot"),
        (r"camel", "vicuna_v1.1"),
        (r"polyglot.*chang|chang.*polyglot", "polyglot_changgpt"),
        (r"tulu", "tulu"),
        (r"falcon.*chat|chat.*falcon", "falcon-chat"),
        (r"falcon", "falcon"),
        (r"tigerbot", "tigerbot"),
        (r"baichuan2.*chat|chat.*baichuan2", "baichuan2-chat"),
        (r"baichuan.*chat|chat.*baichuan", "baichuan-chat"),
        (r"baichuan", "zero_shot"),
        (r"xgen", "xgen"),
        (r"internlm", "internlm-chat"),
        (r"starchat", "starchat"),
        (r"llama-2", "llama-2"),
        (r"cutegpt", "cutegpt"),
        (r"mistral-7b-openorca", "mistral-7b-openorca"),
        (r"openorca", "open-orca"),
        (r"dolphin.*mistral|mistral.*dolphin", "dolphin-2.2.1-mistral-7b"),
        (r"openhermes-2(\.5)?-mistral-7b", "OpenHermes-2.5-Mistral-7B"),
        (r"nous-hermes-2-mixtral-8x7b-(dpo|sft)", "Nous-Hermes-2-Mixtral-8x7B-DPO"),
        (r"nous-hermes", "alpaca"),
        (r"mistral|mixtral", "mistral"),
        (r"wizardcoder", "alpaca"),
        (r"qwen", "qwen-7b-chat"),
        (r"aquilachat2.*16k|16k.*aquilachat2", "aquila"),
        (r"aquilachat2.*34b|34b.*aquilachat2", "aquila-legacy"),
        (r"aquilachat2", "aquila-v1"),
        (r"aquila", "aquila-chat"),
        (r"llama2-chinese", "llama2-chinese"),
        (r"vigostral.*chat|chat.*vigostral", "vigogne_chat_v3"),
        (r"vigogne.*chat|chat.*vigogne", "vigogne_chat_v2"),
        (r"vigogne|vigostral", "vigogne_instruct"),
        (r"open-llama.*open-instruct|open-instruct.*open-llama", "alpaca"),
        (r"(?-i:ReaLM)", "ReaLM-7b-v1"),
        (r"phind-codellama-", "phind"),
        (r"codellama", "llama-2"),
        (r"llama2-ko-chang", "polyglot_changgpt"),
        (r"zephyr|notus", "zephyr"),
        (r"catppt", "catppt"),
        (r"tinyllama", "TinyLlama"),
        (r"xwin-lm", "vicuna_v1.1"),
        (r"lemur-70b-chat", "lemur-70b-chat"),
        (r"pygmalion|mythalion|metharme", "metharme"),
        (r"orca-2", "orca-2"),
        (r"xdan.*v1|v1.*xdan", "xdan-v1"),
        (r"(?<![a-z])yi-.*chat|chat.*(?<![a-z])yi-", "Yi-34b-chat"),
        (r"deepseek-coder", "deepseek-coder"),
        (r"deepseek-llm.*chat|chat.*deepseek-llm", "deepseek-chat"),
        (r"metamath", "metamath"),
        (r"bagel", "airoboros_v3"),
        (r"solar-.*instruct|instruct.*solar-", "solar"),
        (r"llava", "vicuna_v1.1"),
        (r"yuan(?!2)", "yuan"),
    )
)

_ARCHITECTURES = {
    "baichuan": "baichuan2-chat",
    "chatglm": "chatglm3",
    "falcon": "falcon",
    "internlm": "internlm-chat",
    "qwen": "qwen-7b-chat",
}
"""`model_type` of a configuration, where one vendor alone has it."""


def by_name(name: str) -> str | None:
    """The conversation for a model of this name or path, whose last part counts more than the others; None: unknown."""
    last = name.rstrip("/").rpartition("/")[2]
    for text in (last, name):
        for pattern, conversation in _NAMES:
            if pattern.search(text):
                return conversation
    return None


def by_architecture(model_type: str) -> str | None:
    """The conversation for a model of this `model_type`; None where it says nothing."""
    return _ARCHITECTURES.get(model_type)
