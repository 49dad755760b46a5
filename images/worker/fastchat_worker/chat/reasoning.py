"""What a model thinks before it answers, told from the answer by the marks of its template."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Source, Steps

MARKS = (
    ("<think>", "</think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<reasoning>", "</reasoning>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
)
"""Opening and closing of each way to mark reasoning that is known; the first that a model has counts."""


@dataclass(frozen=True)
class Reasoning:
    """The marks around a model's reasoning."""

    opening: str
    closing: str

    def begun(self, prompt: str, continued: str = "") -> bool:
        """The prompt ends within reasoning: its template opens it, or the message that is continued does."""
        if prompt.rstrip().endswith(self.opening):
            return True
        return continued.rfind(self.opening) > continued.rfind(self.closing)

    def read(self, source: Source, message: Message, *, begun: bool) -> Steps[None]:
        """Reads the reasoning that the text begins with, where it does."""
        if begun:
            yield from source.literal(self.opening)  # some say it once more
        else:
            source.keep("")
            yield from source.blanks()
            if not (yield from source.literal(self.opening)):
                message.content(source.given_back())
                return
            source.given_back()
        yield from source.until((self.closing,), message.reasoning)
        message.reasoned()


def find(template: str, control: Mapping[str, int]) -> Reasoning | None:
    """The marks that a chat template names, or that are control tokens of its model. None: it does not reason."""
    for opening, closing in MARKS:
        if closing in template or opening in template or (opening in control and closing in control):
            return Reasoning(opening, closing)
    return None
