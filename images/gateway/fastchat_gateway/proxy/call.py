"""A request on its way to a worker."""

from typing import TYPE_CHECKING

import msgspec

from fastchat_gateway.http.headers import render
from fastchat_gateway.proxy.shapes import Progress

if TYPE_CHECKING:
    from fastchat_gateway.telemetry.trace import Trace

_ASKS_FOR_USAGE = b'{"stream_options":{"include_usage":true},'
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_options = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


class Call:
    """A request on its way to some worker of a model."""

    def __init__(
        self,
        model: str,
        path: bytes,
        body: bytes,
        lines: bytes,
        stream: bool = False,
        *,
        key: str = "",
        sequences: int = 1,
        hides_usage: bool = False,
        is_resumable: bool = False,
        has_stream_options: bool = False,
        trace: "Trace | None" = None,
    ) -> None:
        self.model = model
        """As the client named it: a name or an alias."""
        self.path = path
        """At the worker."""
        self.body = body
        self.lines = lines
        """What the worker gets to know of the client's head, as header lines."""
        self.stream = stream
        self.key = key
        """Name of the API key."""
        self.sequences = sequences
        """Completions to be generated, or inputs to be embedded."""
        self.hides_usage = hides_usage
        """It is a stream whose client did not ask for usage: the gateway does, and takes it out of the stream again."""
        self.is_resumable = is_resumable
        """Another worker can go on with its response."""
        self.progress: Progress | None = None
        """What the client, which lost its connection, has of the stream already."""
        self.has_stream_options = has_stream_options
        self.trace = trace
        """Its spans, where traces are switched on."""

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

        `with_usage`: with `stream_options.include_usage`.
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
    """A stream's options with `include_usage`."""
    given = None if options is None else _options.decode(options)
    return msgspec.Raw(msgspec.json.encode({**(given or {}), "include_usage": True}))
