"""Credentials that a program gives, as `aws eks get-token` and `gke-gcloud-auth-plugin` do.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from fastchat._kube.credentials import Certificate, bearer
from fastchat._kube.errors import CredentialsError

_SECONDS = 120.0
"""Long enough for a person to log in with a browser."""
_EARLY = timedelta(minutes=1)


@dataclass(frozen=True)
class Plugin:
    """The program and what it is told."""

    command: list[str]
    api_version: str
    environment: Mapping[str, str] = field(default_factory=dict)
    cluster: Mapping[str, Any] | None = None
    """What it is told about the cluster, where it asks for that."""
    hint: str = ""
    """How to install it."""
    interactive: bool = True
    """Whether it may ask the person at the terminal."""


class _Status(BaseModel):
    token: str | None = None
    certificate: str | None = Field(None, alias="clientCertificateData")
    key: str | None = Field(None, alias="clientKeyData")
    expires: AwareDatetime | None = Field(None, alias="expirationTimestamp")

    @property
    def valid(self) -> bool:
        return self.expires is None or self.expires - _EARLY > datetime.now(UTC)


class _Said(BaseModel):
    status: _Status


class ExecCredentials:
    """What the program said last, until that expires or is not accepted."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._said: _Status | None = None
        self._running = threading.Lock()

    @property
    def blocks(self) -> bool:
        return self._said is None or not self._said.valid

    def authorization(self) -> str | None:
        token = self._current().token
        return bearer(token) if token else None

    def certificate(self) -> Certificate | None:
        said = self._current()
        return Certificate(said.certificate.encode(), said.key.encode()) if said.certificate and said.key else None

    def forget(self) -> None:
        self._said = None

    def _current(self) -> _Status:
        """Of several threads that ask at once one runs the program."""
        with self._running:
            if self._said is None or not self._said.valid:
                self._said = _run(self._plugin)
            return self._said


def _run(plugin: Plugin) -> _Status:
    """Raises CredentialsError, with what the program complained about."""
    program, told = plugin.command[0], _told(plugin)
    source = None if plugin.interactive and sys.stdin is not None and sys.stdin.isatty() else subprocess.DEVNULL
    environment = os.environ | plugin.environment | {"KUBERNETES_EXEC_INFO": json.dumps(told)}
    try:
        done = subprocess.run(  # noqa: S603  # the kubeconfig's owner says which program
            plugin.command, env=environment, stdin=source, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        hint = f"; {plugin.hint.strip()}" if plugin.hint and isinstance(error, FileNotFoundError) else ""
        raise CredentialsError(f"{program}, which the kubeconfig asks for credentials: {error}{hint}") from error
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip()
        raise CredentialsError(f"{program} gives no credentials: it ended with {done.returncode}: {complaint}")
    return _status(program, done.stdout)


def _told(plugin: Plugin) -> dict[str, Any]:
    cluster = {} if plugin.cluster is None else {"cluster": plugin.cluster}
    spec = {"interactive": plugin.interactive and sys.stdin is not None and sys.stdin.isatty(), **cluster}
    return {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}


def _status(program: str, output: bytes) -> _Status:
    try:
        status = _Said.model_validate_json(output).status
    except ValidationError:
        raise CredentialsError(f"{program} gives no credentials: what it prints is no ExecCredential") from None
    if not status.token and not (status.certificate and status.key):
        raise CredentialsError(f"{program} gives no credentials: there is neither a token nor a certificate with a key")
    return status


def located(command: str, folder: Path) -> str:
    """A command with a folder in it is relative to the kubeconfig; another one is looked for on PATH."""
    return str(folder / command) if "/" in command else command
