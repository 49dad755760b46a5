"""What is read of a request's body: which model, and whether the answer streams. The rest passes through unseen."""

import re
from collections.abc import Collection, Iterable, Mapping

import msgspec

from fastchat_gateway.errors import Refused, bad_request


class _Head(msgspec.Struct):
    model: str
    stream: bool | None = None


_head = msgspec.json.Decoder(_Head)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MEMBER = re.compile(rb'[ \t\r\n]*[{,][ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*')
_LARGE = 2**14


def read(body: bytes) -> tuple[str, bool]:
    """The model and whether to stream; raises Refused for what is not a JSON object with those fields, each key once.

    Of two values of a key another reader, the worker, might take the other one.
    """
    try:
        fields = _fields.decode(body)
        head = _head.decode(body if len(body) < _LARGE else _read_of(fields))
        body.decode()  # msgspec does not look into strings that it skips
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _what_is_wrong(body) from None
    if not _is_each_once(body, fields.values()):
        raise _twice(body, fields)
    return head.model, bool(head.stream)


def _read_of(fields: Mapping[str, msgspec.Raw]) -> bytes:
    """The document without what is not read of it: to go through a long one twice would cost."""
    read = [b'"%b":%b' % (name.encode(), fields[name]) for name in _Head.__struct_fields__ if name in fields]
    return b"{%b}" % b",".join(read)


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


def _twice(body: bytes, fields: Mapping[str, msgspec.Raw]) -> Refused:
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


def _what_is_wrong(body: bytes) -> Refused:
    try:
        body.decode()
        fields = msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        return bad_request(f"The body is not valid UTF-8 at byte {error.start}.", code="invalid_json")
    except RecursionError:
        return bad_request("The body is nested too deeply.", code="invalid_json")
    except msgspec.DecodeError as error:
        return bad_request(f"The body is not valid JSON: {error}.", code="invalid_json")
    if not isinstance(fields, dict):
        return bad_request("The body must be a JSON object.", code="invalid_value")
    if "model" not in fields:
        return bad_request("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    if not isinstance(fields["model"], str):
        return bad_request("Invalid value for 'model': it must be a string.", "model", "invalid_value")
    return bad_request("Invalid value for 'stream': it must be true, false or null.", "stream", "invalid_value")
