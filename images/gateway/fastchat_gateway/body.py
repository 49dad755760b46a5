"""What is read of a request's body: which model, and whether the answer streams. The rest passes through unseen."""

import msgspec

from fastchat_gateway.errors import Refused, bad_request


class _Head(msgspec.Struct):
    model: str
    stream: bool | None = None


_head = msgspec.json.Decoder(_Head)


def read(body: bytes) -> tuple[str, bool]:
    """The model and whether to stream; raises Refused for what is not a JSON object with those fields."""
    try:
        head = _head.decode(body)
        body.decode()  # msgspec does not look into strings that it skips
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _what_is_wrong(body) from None
    return head.model, bool(head.stream)


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
