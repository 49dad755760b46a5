"""A real S3 server over a folder, and a wire to it that can be slow, cut or dead."""

import contextlib
import os
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import obstore
from cluster.tools.binaries import tools
from obstore.store import S3Store

from support.eventually import eventually
from support.ports import free_port, listens

BUCKET = "models"
UNLIMITED = 1e12
UNHURRIED = 1e6
"""Bytes per second: while a model comes as slowly another process begins, on any machine."""


class S3Server:
    """versitygw; its buckets are folders. `reader` may enter, and read nothing that is not shown to him."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self._program = tools("versitygw")["versitygw"]
        self._folder = folder
        self.host, self.port = host, free_port()
        self.url = f"http://{host}:{self.port}"
        self.env = {
            "AWS_ACCESS_KEY_ID": "root",
            "AWS_SECRET_ACCESS_KEY": "root-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }
        self.files = folder / "buckets" / BUCKET
        self.files.mkdir(parents=True)
        (folder / "users").mkdir()
        self.start()
        self._admin("create-user", "--access", "reader", "--secret", "reader-secret", "--role", "user")
        self.store = S3Store(
            BUCKET,
            endpoint=self.url,
            region="us-east-1",
            access_key_id="root",
            secret_access_key="root-secret",
            client_options={"allow_http": True},
        )

    def start(self) -> None:
        options = ["--port", f"{self.host}:{self.port}", "--iam-dir", str(self._folder / "users"), "--quiet"]
        options += ["--access", "root", "--secret", "root-secret"]
        with (self._folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [self._program, *options, "posix", "--default-etag", "none", self._folder / "buckets"],
                stdout=log,
                stderr=log,
            )
        eventually(lambda: listens(self.port, self.host) or self._process.poll() is not None)
        assert self._process.poll() is None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def put(self, key: str, content: bytes | Path) -> None:
        obstore.put(self.store, key, content)

    def put_folder(self, prefix: str, folder: Path) -> None:
        for path in folder.iterdir():
            self.put(f"{prefix}/{path.name}", path)

    def delete(self, key: str) -> None:
        obstore.delete(self.store, key)

    def mark_folder(self, key: str) -> None:
        """An empty object for a folder, as the web consoles of S3 make them."""
        os.setxattr(self.files / key, "user.etag", b"d41d8cd98f00b204e9800998ecf8427e")

    def _admin(self, *arguments: str) -> None:
        command = [
            str(self._program),
            "admin",
            "--access",
            "root",
            "--secret",
            "root-secret",
            "--endpoint-url",
            self.url,
        ]
        subprocess.run([*command, *arguments], check=True, capture_output=True)


class Wire:
    """A TCP port that passes everything on to another, at so many bytes per second in all; at 0 nothing.

    tls: what those who connect see of it.
    """

    def __init__(self, target: int, rate: float = UNLIMITED, tls: ssl.SSLContext | None = None) -> None:
        self.target, self.rate, self._tls = target, rate, tls
        self.passed = 0
        self._passing = threading.Lock()
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Ends what is connected; who connects anew is served."""
        for end in self._pairs:
            _close(end)

    def close(self) -> None:
        _close(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                near = self._tls.wrap_socket(near, server_side=True) if self._tls else near
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self._pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=[source, sink], daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                with self._passing:
                    time.sleep(len(data) / self.rate if self.rate else 3600)
                    self.passed += len(data)
                sink.sendall(data)
        except OSError:
            pass
        _close(source)
        _close(sink)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
