"""What an answer used, read off its end after it has been passed on."""

import re

# A number of more digits counts nothing: it is as good as none.
_PROMPT = re.compile(rb'"prompt_tokens"\s*:\s*(\d{1,9})(?![\d.eE])')
_COMPLETION = re.compile(rb'"completion_tokens"\s*:\s*(\d{1,9})(?![\d.eE])')
_BYTES_PER_TOKEN = 4


def usage_of(tail: bytes, events: int, asked_bytes: int) -> tuple[int, int]:
    """Tokens of prompt and answer, as the worker says, or else estimated: an event a token, four bytes a token.

    Inside a JSON string quotes are escaped, so that no text looks like this field.
    """
    at = tail.rfind(b'"usage"')
    prompt = _PROMPT.search(tail, at) if at >= 0 else None
    if prompt is None:
        return (asked_bytes // _BYTES_PER_TOKEN, events) if events else (0, 0)
    completion = _COMPLETION.search(tail, at)
    return int(prompt[1]), int(completion[1]) if completion else 0
