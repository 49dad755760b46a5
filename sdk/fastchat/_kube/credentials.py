"""What the API server knows us by: a token, one in a file that is replaced from time to time, or a program's."""

import base64
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fastchat._kube.errors import CredentialsError

_REREAD_SECONDS = 60.0
"""The kubelet puts a new token in place long before the old one expires."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client's certificate with its key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class Credentials(Protocol):
    """Who one is; may be asked by several threads at once."""

    @property
    def blocks(self) -> bool:
        """Whether `authorization` would take its time now."""

    def authorization(self) -> str | None:
        """Value of the header `Authorization`, None: there is none. Raises CredentialsError."""

    def certificate(self) -> Certificate | None:
        """What to show as the connection is made. Raises CredentialsError; may take its time."""

    def forget(self) -> None:
        """They were not accepted (401)."""


@dataclass(frozen=True)
class Static:
    """Credentials that stay the same."""

    header: str | None = field(default=None, repr=False)
    shown: Certificate | None = None
    blocks = False

    def authorization(self) -> str | None:
        return self.header

    def certificate(self) -> Certificate | None:
        return self.shown

    def forget(self) -> None:
        """There are no others."""


class TokenFile:
    """A token in a file, which is read again every minute, and after it was not accepted."""

    blocks = False

    def __init__(self, path: Path, shown: Certificate | None = None) -> None:
        self._path = path
        self._shown = shown
        self._token = ""
        self._read_at = 0.0

    def authorization(self) -> str:
        if not self._token or time.monotonic() - self._read_at >= _REREAD_SECONDS:
            self._token, self._read_at = self._read(), time.monotonic()
        return bearer(self._token)

    def certificate(self) -> Certificate | None:
        return self._shown

    def forget(self) -> None:
        self._token = ""

    def _read(self) -> str:
        try:
            token = self._path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsError(f"cannot read the token in {self._path}: {error}") from error
        if not token:
            raise CredentialsError(f"there is no token in {self._path}")
        return token


def bearer(token: str) -> str:
    return f"Bearer {token.strip()}"


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
