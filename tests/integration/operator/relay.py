"""A TCP relay whose connections can die in silence, as behind a load balancer or a firewall that forgot them."""

import contextlib
import socket
import threading


class Relay:
    """Listens on a port of 127.0.0.1 for what is meant for another one."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._alive: set[socket.socket] = set()
        self._all: list[socket.socket] = []
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From now on everything is taken and nothing passed on; no connection is closed."""
        self._cut = True
        self._alive.clear()

    def mend(self) -> None:
        """New connections work again; those from before stay dead."""
        self._cut = False

    def close(self) -> None:
        for each in [self._listener, *self._all]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._all += [near, far]
                if not self._cut:
                    self._alive |= {near, far}
                threading.Thread(target=self._pump, args=(near, far), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source in self._alive:
                    sink.sendall(data)
            if source in self._alive:
                sink.shutdown(socket.SHUT_WR)
