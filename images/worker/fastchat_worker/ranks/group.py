"""The other ranks, as rank 0 sees them."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from fastchat_worker.ranks.membership import CANNOT_LOAD, Membership
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

T = TypeVar("T")
Lost = Callable[[str], None]

_PATIENCE_SECONDS = 60
"""What all ranks do takes them equally long; one that has not answered so long after rank 0 never will."""


class RankError(Exception):
    """Another rank could not do what rank 0 could."""


class Peer:
    """Another rank: a process that does what it is told through a socket, and ends when this process does."""

    def __init__(self, membership: Membership) -> None:
        self.rank = membership.rank
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # a module of ours
                [sys.executable, "-m", "fastchat_worker.ranks.rank", str(theirs.fileno())],
                stdin=subprocess.PIPE,  # never written to; its end tells the rank that we are gone
                pass_fds=[theirs.fileno()],
            )
        self._calls = Connection(ours.detach())
        self._calls.send(membership)

    def tell(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Raises: OSError where the rank is gone."""
        self._calls.send((name, arguments))

    def answer(self) -> tuple[bool, Any]:
        """Whether it could, and what came of it or why not. Raises: EOFError, OSError, TimeoutError."""
        if not self._calls.poll(_PATIENCE_SECONDS):
            raise TimeoutError
        succeeded, value = self._calls.recv()
        return succeeded, value

    def wait(self) -> int:
        """The exit code, when it has ended."""
        return self._process.wait()


class RankGroup:
    """Starts the other ranks and joins them; each loads its share meanwhile.

    lost: called with one line, from any thread, when a rank has ended or does not answer. Nothing more can be computed
    then, and what waits for the others in the middle of a step may wait for ever: the process has to end.
    """

    def __init__(self, files: ModelFiles, settings: Settings, lost: Lost) -> None:
        self.size = settings.tensor_parallel_size
        self._lost = lost
        self._folder = tempfile.TemporaryDirectory(prefix="fastchat-ranks-")
        store = Path(self._folder.name) / "store"
        memberships = [Membership(rank, self.size, store, files, settings) for rank in range(self.size)]
        _share_cores(self.size)
        self._peers = [Peer(each) for each in memberships[1:]]
        for peer in self._peers:
            threading.Thread(target=self._watch, args=(peer,), name=f"rank-{peer.rank}", daemon=True).start()
        memberships[0].join()

    def together(self, name: str, arguments: tuple[Any, ...], own: Callable[[], T]) -> tuple[T, list[Any]]:
        """What `own` returns here, and what the method `name` of each other rank's share does there.

        Raises: what `own` raises, and RankError where it worked here and not there.
        """
        for peer in self._peers:
            with suppress(OSError):  # `_answers` says that it is gone
                peer.tell(name, arguments)
        try:
            result = own()
        except Exception:
            self._answers()
            raise
        answers = self._answers()
        if failed := [value for succeeded, value in answers if not succeeded]:
            raise RankError(failed[0])
        return result, [value for _, value in answers]

    def _answers(self) -> list[tuple[bool, Any]]:
        return [self._answer(peer) for peer in self._peers]

    def _answer(self, peer: Peer) -> tuple[bool, Any]:
        try:
            return peer.answer()
        except TimeoutError:
            reason = f"rank {peer.rank} of the model does not answer for {_PATIENCE_SECONDS} s"
        except (EOFError, OSError):
            reason = f"rank {peer.rank} of the model is gone"
        self._lost(reason)
        return False, reason

    def _watch(self, peer: Peer) -> None:
        code = peer.wait()
        if code == CANNOT_LOAD:
            time.sleep(_PATIENCE_SECONDS)  # for the reason that rank 0 has
        self._lost(f"rank {peer.rank} of the model ended by {f'signal {-code}' if code < 0 else f'exit code {code}'}")


def _share_cores(size: int) -> None:
    """Threads that compute are this machine's cores over all ranks; those of torch take the number as they start."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or size) // size, 1)))
