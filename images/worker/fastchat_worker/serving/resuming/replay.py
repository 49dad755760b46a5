"""A sequence that goes on from tokens that another worker generated."""

from fastchat_worker.engine.sequence import Finish, Sequence
from fastchat_worker.errors import RequestError
from fastchat_worker.serving.resuming.progress import ChoiceProgress, wrong


def extend(sequence: Sequence, choice: ChoiceProgress, index: int, vocabulary: int) -> Finish | None:
    """Gives the sequence of choice `index`, which has not begun, the tokens that it had. Returns how they end it.

    What it is to read from here on is prompt and tokens. Raises: RequestError 400 where it cannot have had them.
    """
    unknown = next((token for token in choice.tokens if token >= vocabulary), None)
    if unknown is not None:
        raise wrong(f"token {unknown} of choice {index} is not in the model's vocabulary of {vocabulary} tokens")
    for token in choice.tokens:
        if sequence.finish:
            raise ends_before(index)
        sequence.append(token)
        if sequence.grammar and sequence.grammar.error:
            raise wrong(f"choice {index} does not keep to what the request asks for")
    finish, sequence.finish = sequence.finish, None
    sequence.begin_anew()
    if choice.tokens:
        sequence.reused = choice.cached
    return "length" if choice.ended and not sequence.max_tokens else finish


def ends_before(index: int) -> RequestError:
    return wrong(f"choice {index} ends before its last token")
