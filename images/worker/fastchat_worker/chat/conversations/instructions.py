"""Families that were taught with headings: `### Instruction`, `### Response`.

Sources: the model cards, and FastChat 0.2.36's registry, whose users these conversations are for.
"""

from fastchat_worker.chat.conversations.conversation import Conversation, bare, colon, lines
from fastchat_worker.chat.conversations.vicuna import CURIOUS_USER

_TASK = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
_HEADINGS = ("### Instruction", "### Response")
_HEADING_LINES = ("### Instruction:\n", "### Response:\n")

FAMILIES = (
    colon("alpaca", _HEADINGS, "\n\n", "</s>", system=_TASK),
    bare("dolly_v2", _HEADING_LINES, "\n\n", "### End\n\n", system=f"{_TASK}\n\n", stop_tokens=("### End",)),
    Conversation(
        name="metamath",
        user=("### Instruction:\n", "\n\n"),
        assistant=("### Response: Let's think step by step.", ""),
        begin="{}\n\n",
        system=_TASK,
        without="",
    ),
    lines("mpt-30b-instruct", _HEADINGS, "\n\n", system=_TASK, stop_tokens=("<|im_end|>", "<|endoftext|>")),
    bare("tigerbot", _HEADING_LINES, "\n\n", begin="{}\n\n", system=CURIOUS_USER, stop_texts=("###",)),
    bare(
        "vigogne_instruct",
        _HEADING_LINES,
        "\n\n",
        "</s>\n\n",
        begin="### System:\n{}\n\n",
        system="Ci-dessous se trouve une instruction qui décrit une tâche à accomplir. Rédigez une réponse qui répond "
        "de manière précise à la demande.",
    ),
    colon(
        "snoozy",
        ("### Prompt", "### Response"),
        "\n",
        begin="### Instruction:\n{}\n",
        system="The prompt below is a question to answer, a task to complete, or a conversation to respond to; decide "
        "which and write an appropriate response.",
        stop_texts=("###",),
    ),
    colon(
        "phind",
        ("### User Message", "### Assistant"),
        "\n\n",
        system="### System Prompt\nYou are an intelligent programming assistant.",
    ),
    lines(
        "deepseek-coder",
        ("### Instruction:", "### Response:"),
        "\n",
        system="You are an AI programming assistant, utilizing the DeepSeek Coder model, developed by DeepSeek "
        "Company, and you only answer questions related to computer science. For politically sensitive questions, "
        "security and privacy issues, and other non-computer science questions, you will refuse to answer.",
        stop_texts=("<|EOT|>",),
    ),
    lines("solar", ("### User", "### Assistant"), "\n\n", stop_texts=("</s>",)),
    bare(
        "Robin",
        ("###Human:\n", "###Assistant:\n"),
        "\n",
        begin="{}\n",
        system=CURIOUS_USER.replace("user", "human"),
        stop_texts=("###",),
    ),
    bare(
        "xdan-v1",
        ("### Human", "### Assistant"),
        "\n",
        system="You are a helpful  and harmless assistant named xDAN and created by xDAN-AI.Please response and work "
        "on questions thinking step by step.",
        stop_texts=("</s>",),
    ),
    bare(
        "aquila-legacy",
        ("### Human: ", "### Assistant: "),
        "\n",
        "</s>",
        system=f"{CURIOUS_USER.replace('user', 'human')}\n\n",
        stop_texts=("</s>", "[UNK]"),
    ),
)
