"""A request on its way to a worker."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fastchat_gateway.http.head import render

if TYPE_CHECKING:
    from fastchat_gateway.telemetry.trace import Trace

_ASKS_FOR_USAGE = b'{"stream_options":{"include_usage":true},'
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_options = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


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
    sequences: int = 1
    """Answers that it asks for, or inputs that it wants embedded."""
    hides_usage: bool = False
    """It is a stream whose client did not ask what it used: the gateway does, for itself."""
    has_stream_options: bool = False
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

    def body_for(self, name: str, *, with_usage: bool = False) -> bytes:
        """The body under the model's own name; byte for byte the client's unless it used an alias.

        `with_usage`: it asks what the stream used, too.
        """
        if name == self.model:
            if not with_usage:
                return self.body
            if not self.has_stream_options:
                return _ASKS_FOR_USAGE + self.body[self.body.index(b"{") + 1 :]
        fields = _fields.decode(self.body)
        fields["model"] = msgspec.Raw(msgspec.json.encode(name))
        if with_usage:
            fields["stream_options"] = _asking(fields.get("stream_options"))
        return msgspec.json.encode(fields)


def _asking(options: msgspec.Raw | None) -> msgspec.Raw:
    """A stream's options, and that its usage be told."""
    given = None if options is None else _options.decode(options)
    return msgspec.Raw(msgspec.json.encode({**(given or {}), "include_usage": True}))
