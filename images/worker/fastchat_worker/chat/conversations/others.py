"""Families of other shapes: Llama 2's, and those that number, separate or clean their turns in their own way.

Sources: the model cards, and FastChat 0.2.36's registry, whose users these conversations are for.
"""

from fastchat_worker.chat.conversations.conversation import Conversation, bare, llama2

_CURIOUS = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the human's questions.\n\n"
)
_FALCON_ENDS = (
    *(">>TITLE<<", ">>ABSTRACT<<", ">>INTRODUCTION<<", ">>SUMMARY<<", ">>COMMENT<<", ">>ANSWER<<"),
    *(">>QUESTION<<", ">>DOMAIN<<", ">>PREFIX<<", ">>SUFFIX<<", ">>MIDDLE<<", "<|endoftext|>"),
)

FAMILIES = (
    llama2("llama-2", " </s><s>"),
    llama2("airoboros_v3", " </s><s>", system="You are a helpful, unbiased, uncensored assistant."),
    llama2(
        "chinese-alpaca2",
        " </s><s>",
        system="You are a helpful assistant. "
        "你是一个乐于助人的助手。请你提供专业、有逻辑、内容真实、有价值的详细回复。",
    ),
    llama2(
        "vigogne_chat_v3",
        " </s>",
        system="Vous êtes Vigogne, un assistant IA créé par Zaion Lab. Vous suivez extrêmement bien les instructions. "
        "Aidez autant que vous le pouvez.",
    ),
    llama2("mistral", "</s>", begin="{}\n"),
    *(bare(name, ("Human: <s>", "Assistant: <s>"), "</s>", system=_CURIOUS) for name in ("phoenix", "ReaLM-7b-v1")),
    bare("chatglm", ("[Round {round}]\n问：", "答："), "\n", begin="{}\n", without=""),
    bare("chatglm2", ("[Round {round}]\n\n问：", "答："), "\n\n", begin="{}\n\n", without="", first_round=1),
    bare(
        "chatglm3",
        ("<|user|>\n", "<|assistant|>\n"),
        "",
        generation="<|assistant|>",
        begin="<|system|>\n{}",
        without="",
        stop_tokens=("<|user|>", "<|observation|>", "</s>"),
    ),
    bare("codegeex", ("", ""), "\n\n", stop_tokens=("</s>",)),
    bare("cutegpt", ("问：", "答：\n"), "\n", stop_texts=("<end>",)),
    bare("baichuan-chat", ("<reserved_102>", "<reserved_103>"), ""),
    bare("baichuan2-chat", ("<reserved_106>", "<reserved_107>"), ""),
    Conversation(
        name="internlm-chat",
        user=("<s><|User|>:", "<eoh>\n"),
        assistant=("<|Bot|>:", "<eoa>\n"),
        system="A chat between a curious <|User|> and an <|Bot|>. The <|Bot|> gives helpful, detailed, and polite "
        "answers to the <|User|>'s questions.\n\n",
        stop_texts=("<|User|>",),
        stop_tokens=("<s>", "<eoa>"),
    ),
    Conversation(
        name="falcon",
        user=("User: ", "\n\n"),
        assistant=("Assistant: ", "\n\n"),
        single_breaks=True,
        stop_texts=("\nUser",),
        stop_tokens=_FALCON_ENDS,
    ),
    Conversation(
        name="rwkv",
        user=("Bob: ", "\n\n"),
        assistant=("Alice: ", "\n\n"),
        examples=(
            "hi",
            "Hi. I am your assistant and I will provide expert full response in full details. Please feel free to ask "
            "any question and I will always answer it.",
        ),
        single_breaks=True,
        stop_texts=("\n\n",),
    ),
    bare("yuan", ("", ""), "<sep>", stop_texts=("<eod>",)),
)
