"""What is read of a request's body: which model, and whether the answer streams. The rest passes through unseen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fastchat_gateway.errors import Refused, bad_request
from fastchat_gateway.head import render

if TYPE_CHECKING:
    from fastchat_gateway.trace import Trace


class _Head(msgspec.Struct):
    model: str
    stream: bool | None = None


_head = msgspec.json.Decoder(_Head)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(slots=True)
class Call:
    """A request on its way to some worker of a model."""

    model: str
    """As the client named it: a name or an alias."""
    path: bytes
    """At the worker."""
    body: bytes
    lines: bytes
    """What the worker gets to know of the client's head, as header lines."""
    stream: bool = False
    key: str = ""
    """Name of the API key."""
    trace: "Trace | None" = None
    """What is told of its way, where traces are asked for."""

    def head(self, host_line: bytes, token_line: bytes, length: int) -> bytes:
        """The whole head a worker gets; the body has been checked to be JSON, whatever the client called it."""
        lines = self.lines if self.trace is None else self.lines + render(self.trace.upstream_headers)
        return b"POST %b HTTP/1.1\r\n%bcontent-type: application/json\r\n%b%bcontent-length: %d\r\n\r\n" % (
            self.path,
            host_line,
            lines,
            token_line,
            length,
        )

    def body_for(self, name: str) -> bytes:
        """The body under the model's own name; byte for byte the client's unless it used an alias."""
        if name == self.model:
            return self.body
        fields = _fields.decode(self.body)
        fields["model"] = msgspec.Raw(msgspec.json.encode(name))
        return msgspec.json.encode(fields)


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
