"""Streams in units, as a gateway sees them, and the same request sent again from between two of them."""

import json
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_COMMENT = re.compile(rb"(?:\A|\n\n):([rth][^\n]*)\n\n\Z")


@dataclass
class Response:
    """status, header fields in lower case, and what each HTTP chunk had; of a body that has none, the body."""

    status: int
    headers: dict[str, str]
    chunks: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


@dataclass
class Progress:
    """What a gateway keeps of a stream."""

    created: int = 0
    seed: str = ""
    model: str = ""
    tokens: dict[int, list[int]] = field(default_factory=dict)
    cached: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, units: Sequence[bytes]) -> "Progress":
        progress = cls()
        for unit in units:
            progress.add(unit)
        return progress

    def add(self, unit: bytes) -> None:
        found = _COMMENT.search(unit)
        assert found, unit
        kind, *words = found[1].decode().split(" ")
        if kind == "r":
            self.created, self.seed, self.model = int(words[0]), words[1], words[2]
            return
        assert kind == "t", unit
        choice = int(words[0])
        self.tokens.setdefault(choice, []).extend(int(each) for each in words[1].split(",") if each != "-")
        for word in words[2:]:
            if word == ".":
                self.ended.add(choice)
            else:
                self.cached[choice] = int(word.removeprefix("c"))

    def document(self, choices: int) -> bytes:
        had = [
            {"tokens": self.tokens.get(i, []), "cached": self.cached.get(i, 0), "ended": i in self.ended}
            for i in range(choices)
        ]
        return json.dumps({"created": self.created, "seed": self.seed, "model": self.model, "choices": had}).encode()


def post(url: str, path: str, body: Any, before: bytes = b"", headers: dict[str, str] | None = None) -> Response:
    """Sends a request that asks for units, to go on from `before` where that is there."""
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=60) as connection:
        content = before + (body if isinstance(body, bytes) else json.dumps(body).encode())
        fields = {"Host": "worker", "Content-Type": "application/json", "Content-Length": str(len(content))}
        fields |= {"x-fastchat-resumable": "1"} | ({"x-fastchat-resume": str(len(before))} if before else {})
        fields |= {"Connection": "close"} | (headers or {})
        head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        connection.sendall(head.encode() + content)
        return _read(connection)


def _read(connection: socket.socket) -> Response:
    with connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers = dict(_fields(iter(file.readline, b"\r\n")))
        if headers.get("transfer-encoding") != "chunked":
            return Response(status, headers, [file.read()])
        chunks = []
        while size := int(file.readline(), 16):
            chunks.append(file.read(size))
            file.readline()
        return Response(status, headers, chunks)


def _fields(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.decode().partition(":")
        yield name.lower(), value.strip()
