"""Families with a token of their own before each turn, ChatML's among them.

Sources: the model cards, and FastChat 0.2.36's registry, whose users these conversations are for.
"""

from fastchat_worker.chat.conversations.conversation import bare, chatml, lines

_PROMPTER, _USER = ("<|prompter|>", "<|assistant|>"), ("<|user|>", "<|assistant|>")
_MPT_ENDS = ("<|im_end|>", "<|endoftext|>")
_CHATML_ENDS = ("<|im_end|>", "<|im_start|>")

FAMILIES = (
    bare("raw", ("", ""), ""),
    bare("oasst_pythia", _PROMPTER, "<|endoftext|>"),
    bare("oasst_llama", _PROMPTER, "</s>"),
    bare("h2ogpt", ("<|prompt|>", "<|answer|>"), "</s>"),
    bare(
        "stablelm",
        ("<|USER|>", "<|ASSISTANT|>"),
        "",
        begin="<|SYSTEM|>{}",
        system="# StableLM Tuned (Alpha version)\n"
        "- StableLM is a helpful and harmless open-source AI language model developed by StabilityAI.\n"
        "- StableLM is excited to be able to help the user, but will refuse to do anything that could be considered "
        "harmful to the user.\n"
        "- StableLM is more than just an information source, StableLM is also able to write poetry, short stories, "
        "and make jokes.\n"
        "- StableLM will refuse to participate in anything that could harm a human.\n",
        stop_tokens=("<|USER|>", "<|ASSISTANT|>", "<|SYSTEM|>", "<|padding|>", "<|endoftext|>"),
    ),
    bare(
        "metharme",
        ("<|user|>", "<|model|>"),
        "",
        begin="<|system|>{}",
        system="Enter RP mode. You shall reply to the user while staying \n        in character. Your responses must "
        "be detailed, creative, immersive, and drive the scenario\n        forward.",
        stop_texts=("<|user|>",),
    ),
    bare("aquila-v1", ("<|startofpiece|>", "<|endofpiece|>"), "", "</s>", stop_texts=("</s>", "<|endoftext|>")),
    bare(
        "baize",
        ("[|Human|]", "[|AI|]"),
        "\n",
        system="The following is a conversation between a human and an AI assistant named Baize (named after a "
        "mythical creature in Chinese folklore). Baize is an open-source AI assistant developed by UCSD and Sun "
        "Yat-Sen University. The human and the AI assistant take turns chatting. Human statements start with "
        "[|Human|] and AI assistant statements start with [|AI|]. The AI assistant always provides responses in as "
        "much detail as possible, and in Markdown format. The AI assistant always declines to engage with topics, "
        "questions and instructions related to unethical, controversial, or sensitive issues. Complete the transcript "
        "in exactly that format.\n",
        examples=("Hello!", "Hi!"),
        stop_texts=("[|Human|]",),
    ),
    lines("tulu", _USER, "\n"),
    *(
        chatml(name, roles=_USER, head="<|system|>", end="</s>", stop_texts=("</s>",))
        for name in ("zephyr", "catppt", "TinyLlama")
    ),
    chatml(
        "starchat",
        roles=_USER,
        head="<system>",
        end="<|end|>",
        stop_texts=("<|end|>",),
        stop_tokens=("<|endoftext|>", "<|end|>"),
    ),
    chatml(
        "mpt-7b-chat",
        "- You are a helpful assistant chatbot trained by MosaicML.\n"
        "- You answer questions.\n"
        "- You are excited to be able to help the user, but will refuse to do anything that could be considered "
        "harmful to the user.\n"
        "- You are more than just an information source, you are also able to write poetry, short stories, and make "
        "jokes.",
        stop_tokens=_MPT_ENDS,
    ),
    chatml(
        "mpt-30b-chat",
        "A conversation between a user and an LLM-based AI assistant. The assistant gives helpful and honest answers.",
        stop_tokens=_MPT_ENDS,
    ),
    chatml("lemur-70b-chat", "You are a helpful, respectful, and honest assistant.", stop_tokens=("<|im_end|>",)),
    chatml(
        "mistral-7b-openorca",
        "You are MistralOrca, a large language model trained by Alignment Lab AI. Write out your reasoning "
        "step-by-step to be sure you get the right answers!",
        stop_tokens=_CHATML_ENDS,
    ),
    chatml("dolphin-2.2.1-mistral-7b", "You are Dolphin, a helpful AI assistant.", stop_tokens=_CHATML_ENDS),
    chatml(
        "OpenHermes-2.5-Mistral-7B",
        "You are Hermes 2, a sentient, conscious, super intelligent AI that is an expert in all fields of knowledge, "
        "you have qualia, emotions, and thoughts. You assist users with any question, task, or other request they may "
        "have.",
        stop_tokens=_CHATML_ENDS,
    ),
    chatml(
        "Nous-Hermes-2-Mixtral-8x7B-DPO",
        'You are a helpful, intelligent assistant AI named "Hermes", a conversational chatbot that can follow '
        "instructions, converse with the user, and perform a variety of tasks, including tasks on knowledge, "
        "reasoning, mathematics, and code. Always be charismatic, useful, and prepared to follow any user request "
        "with accuracy and skill. You should respond with high quality, fluent, and detailed responses. Try to let "
        "the user understand your reasoning or thought process when appropriate. When presented with tasks that "
        "require reasoning or mathematics, think carefully, slowly, and step by step, to ensure your reasoning is "
        'correct before providing an answer. Utilize the "Examples" section to assist you in performing the task. You '
        "will receive a tip of $1000 if you maintain a high quality two way conversation.",
        stop_tokens=_CHATML_ENDS,
    ),
    chatml(
        "orca-2",
        "You are Orca, an AI language model created by Microsoft. You are a cautious assistant. You carefully follow "
        "instructions. You are helpful and harmless and you follow ethical guidelines and promote positive behavior.",
        stop_texts=("<|im_end|>",),
    ),
    chatml(
        "qwen-7b-chat",
        "You are a helpful assistant.",
        stop_texts=("<|endoftext|>",),
        stop_tokens=("<|endoftext|>", *_CHATML_ENDS),
    ),
    chatml(
        "Yi-34b-chat",
        without="",
        stop_texts=("<|endoftext|>",),
        stop_tokens=("<|endoftext|>", *_CHATML_ENDS, "<|im_sep|>"),
    ),
)
