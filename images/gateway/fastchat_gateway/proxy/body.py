"""What is read of a request's body: which model, whether the response streams, how much it is. The rest is not read."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from fastchat._runtime.resuming import RESUME_HEADER
from fastchat.api import structure
from fastchat_gateway.errors import RefusedError, bad_request, too_complex
from fastchat_gateway.proxy import shapes
from fastchat_gateway.proxy.shapes import Progress, Request, Value

MOST_SEQUENCES: Final = 2048
"""For so many a request counts at most: more than that no worker takes."""

MISSING: Final = "missing_required_parameter"
"""Code of the error about a body without a model."""

_BRACKET: Final = ord("[")


class Parameters:
    """What a request asks for, as far as it matters here."""

    def __init__(self, request: Request) -> None:
        self.model = request.model
        self.stream = bool(request.stream)
        self.sequences = _sequences(request.n, request.input if request.prompt is msgspec.UNSET else request.prompt)
        """Answers to be generated, or inputs to be embedded: `n` for each prompt; at least 1."""
        self.has_stream_options = request.stream_options is not msgspec.UNSET
        self.asks_for_usage = _asks_for_usage(request.stream_options)
        """The client wants usage at the stream's end, or something of which only the worker knows what it means."""


_MEMBER = re.compile(rb'[ \t\r\n]*[{,][ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*')
_LARGE: Final = 2**14
_MOST_PARAMETERS: Final = 1024


def read(body: bytes) -> Parameters:
    """The parameters of a request; raises RefusedError for what is not a JSON object with each key once.

    Of two values of a key another reader, the worker, might take the other one.
    """
    size = len(body)
    try:
        if size > structure.MOST_MEMBERS and structure.has_more_colons(body, structure.MOST_MEMBERS):
            shapes.request.decode(body)  # builds nothing of what is not read: what is wrong there comes first
            check_structure(body)
        members = shapes.fields.decode(body)
        request = shapes.request.decode(body) if size < _LARGE else _request_of(members)
        if not body.isascii():  # which needs no copy
            body.decode()  # msgspec does not look into strings that it skips
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _what_is_wrong(body, error) from None
    if len(members) > _MOST_PARAMETERS:
        raise too_complex(f"it has more than {_MOST_PARAMETERS} parameters")
    if not _is_each_once(body, members.values()):
        raise _twice(body, members)
    return Parameters(request)


def _request_of(members: Mapping[str, msgspec.Raw]) -> Request:
    """From the values that were found: to go through a long document twice would cost."""
    typed = [b'"%b":%b' % (name.encode(), members[name]) for name in ("model", "stream") if name in members]
    request = shapes.request.decode(b"{%b}" % b",".join(typed))
    for name in ("n", "prompt", "input", "stream_options"):
        setattr(request, name, members.get(name, msgspec.UNSET))
    return request


def _sequences(n: Value, texts: Value) -> int:
    if n is msgspec.UNSET and texts is msgspec.UNSET:
        return 1
    return min(_number(n) * _length(texts), MOST_SEQUENCES)


def _asks_for_usage(options: Value) -> bool:
    if isinstance(options, msgspec.UnsetType):
        return False
    try:
        given = shapes.stream_options.decode(options)
    except msgspec.DecodeError:
        return True
    return given is not None and bool(given.include_usage)


def documents(body: bytes) -> int:
    """How many texts are to be matched with others, in a body that has been read; at least 1."""
    pairs = shapes.pairs.decode(body)
    return min(max(_length(pairs.documents), _length(pairs.text_2)), MOST_SEQUENCES)


def split(size: bytes, body: bytes) -> tuple[Progress, bytes]:
    """What a client has of a stream that it lost, and its request behind that; raises RefusedError.

    `size`: what it says that the first part has, in bytes.
    """
    length = int(size[:9]) if size.isdigit() else 0
    try:
        return shapes.progress.decode(body[:length]), body[length:]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"The first bytes of the body, as many as {RESUME_HEADER} says, are no progress of a stream: {error}."
        raise bad_request(message) from None


def with_model(body: bytes, model: str) -> bytes:
    """A JSON object that names no model, with one."""
    rest = body[body.index(b"{") + 1 :]
    comma = b"," if shapes.fields.decode(body) else b""
    return b'{"model":%b%b%b' % (msgspec.json.encode(model), comma, rest)


def _number(n: Value) -> int:
    digits = b"" if isinstance(n, msgspec.UnsetType) else bytes(n)
    return max(1, int(digits[:9])) if digits.isdigit() else 1  # with more of them it is too much anyway


def _length(texts: Value) -> int:
    """How many texts these are, by their quotes or brackets: to make an object of each would take longer."""
    if isinstance(texts, msgspec.UnsetType) or memoryview(texts)[0] != _BRACKET:
        return 1
    data = bytes(texts)
    first = data[1:].lstrip()[:1]
    if first == b"[":  # of token ids
        return max(1, data.count(b"[") - 1)
    if first == b"{":
        return data.count(b"{")
    data = data.replace(b"\\\\", b"")  # what remains of backslashes escapes
    return max(1, (data.count(b'"') - data.count(b'\\"')) // 2)


def _is_each_once(body: bytes, values: Collection[msgspec.Raw]) -> bool:
    """The members of the object are as many as its keys."""
    # Each member has a colon. Mostly there is no other, apart from those in the values that were found.
    if len(body) < _LARGE and body.count(b":") - b"".join(values).count(b":") == len(values):
        return True
    return _is_row(body, values)


def _is_row(body: bytes, values: Iterable[msgspec.Raw]) -> bool:
    """The object is these values, one after the other, and no more.

    No JSON value begins with another one, save numbers, and no comma follows that then: each step goes over a member.
    """
    at = 0
    for value in values:
        member = _MEMBER.match(body, at)
        expected = bytes(value)
        if member is None or not body.startswith(expected, member.end()):
            return False
        at = member.end() + len(expected)
    return body[at:].strip() == b"}"


def _twice(body: bytes, fields: Mapping[str, msgspec.Raw]) -> RefusedError:
    """Names the first key that comes again, or whose value does."""
    at = 0
    for name, value in [*fields.items(), ("", msgspec.Raw())]:
        member = _MEMBER.match(body, at)
        if member is None:
            break
        key, at = msgspec.json.decode(member[1], type=str), member.end()
        if key != name or not body.startswith(bytes(value), at):
            break
        at += len(bytes(value))
    param = key[:256]
    return bad_request(f"The body has '{param}' more than once: give each key one value.", param, "invalid_value")


def check_structure(body: bytes) -> None:
    """Raises RefusedError where there is more in a body than may be built of one."""
    try:
        structure.check(body)
        structure.check_objects(body)
    except structure.TooComplexError as error:
        raise too_complex(str(error)) from None


def _what_is_wrong(body: bytes, error: Exception) -> RefusedError:
    """Nothing is built of the body, and none of it is looked at again but for its encoding."""
    if isinstance(error, msgspec.ValidationError):
        return _wrong_field(str(error))
    try:
        body.decode()
    except UnicodeDecodeError as encoding:
        return bad_request(f"The body is not valid UTF-8 at byte {encoding.start}.", code="invalid_json")
    if isinstance(error, RecursionError):
        return bad_request("The body is nested too deeply.", code="invalid_json")
    return bad_request(f"The body is not valid JSON: {error}.", code="invalid_json")


def _wrong_field(said: str) -> RefusedError:
    """msgspec says it in words only."""
    if "missing required field `model`" in said:
        return bad_request("Missing required parameter: 'model'.", "model", MISSING)
    if said.endswith("`$.model`"):
        return bad_request("Invalid value for 'model': it must be a string.", "model", "invalid_value")
    if said.endswith("`$.stream`"):
        return bad_request("Invalid value for 'stream': it must be true, false or null.", "stream", "invalid_value")
    return bad_request("The body must be a JSON object.", code="invalid_value")
