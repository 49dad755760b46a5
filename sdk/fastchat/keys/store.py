"""Where API keys are kept: in the Secret `fastchat-keys` of a namespace, or in a folder.

Both hold a KeyRecord per key, as JSON under the key's name, never the key itself.
"""

import base64
import binascii
import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import ValidationError

from fastchat._kube import location, request
from fastchat._kube.errors import ApiError, KubeError
from fastchat._kube.kind import Kind
from fastchat._kube.sync import Client
from fastchat.keys.record import KeyRecord
from fastchat.v1alpha1.names import KEYS

Change = Mapping[str, str | None]
"""Name → new text; None: to be removed."""

_NAME = re.compile("[A-Za-z0-9][-._A-Za-z0-9]{0,62}")
_TRIES = 5
_SECRET = Kind("v1", "Secret", "secrets")
_MANAGER = "fastchat-keys"


class KeysError(Exception):
    """Why keys cannot be read or changed; the text is for the user."""


class _OvertakenError(KeysError):
    """Somebody else wrote between our reading and our writing."""


class Store(Protocol):
    """A place for keys."""

    soon: ClassVar[str]
    """When gateways know of a change."""

    def read(self) -> dict[str, str]:
        """Name → text of every key; raises KeysError."""

    def edit(self, change: Callable[[Mapping[str, str]], Change]) -> None:
        """Write what `change` makes of what is there, in one step; raises KeysError."""


def create(store: Store, name: str, record: KeyRecord, *, replace: bool) -> None:
    """Keep a key; raises KeysError where the name is taken, unless it is to be replaced."""
    if not _NAME.fullmatch(name):
        raise KeysError(f"not a name for a key: {name!r}; letters, digits, '-', '_' and '.', at most 63")

    def change(kept: Mapping[str, str]) -> Change:
        if name in kept and not replace:
            raise KeysError(f"there is a key {name!r} already; --replace puts a new one in its place")
        return {name: record.model_dump_json(exclude_none=True)}

    store.edit(change)


def delete(store: Store, name: str, *, last: bool) -> None:
    """Forget a key; raises KeysError where there is none, and for the last one unless `last`."""

    def change(kept: Mapping[str, str]) -> Change:
        if name not in kept:
            raise KeysError(f"there is no key {name!r}" + (f", but {', '.join(sorted(kept))}" if kept else ""))
        if len(kept) == 1 and not last:
            raise KeysError(
                f"{name!r} is the last key, and a gateway without keys serves everyone unless it requires one: "
                "create another one first, or give --last"
            )
        return {name: None}

    store.edit(change)


def rows(entries: Mapping[str, str], now: datetime) -> list[tuple[str, ...]]:
    """One per key for a table: name, state, models, requests and tokens a minute, requests at once, expiry."""
    return [(name, *_row(text, now)) for name, text in sorted(entries.items())]


def _row(text: str, now: datetime) -> tuple[str, ...]:
    try:
        record = KeyRecord.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError:
        return ("broken", *"-----")
    state = "expired" if record.expires and record.expires <= now else "valid"
    limits = (record.requests_per_minute, record.tokens_per_minute, record.max_concurrent)
    expires = f"{record.expires.astimezone(UTC):%Y-%m-%dT%H:%MZ}" if record.expires else "-"
    return (state, ",".join(record.models or ["-"]), *(str(limit or "-") for limit in limits), expires)


def expiry(text: str, now: datetime) -> datetime:
    """The time that `30d`, `12h`, `2027-01-01` or `2027-01-01T12:00:00Z` says; raises ValueError. UTC by default."""
    if relative := re.fullmatch("([1-9][0-9]{0,5})([dh])", text):
        number, unit = relative.groups()
        return now.replace(microsecond=0) + timedelta(**{{"d": "days", "h": "hours"}[unit]: int(number)})
    when = datetime.fromisoformat(text)
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    if when <= now:
        raise ValueError(f"{text} is over")
    return when


@dataclass(frozen=True)
class Folder:
    """A folder on this machine, a file per key, which only its owner can read."""

    path: Path
    soon: ClassVar[str] = "a gateway that reads this folder knows within a second"

    def read(self) -> dict[str, str]:
        try:
            paths = list(self.path.iterdir()) if self.path.exists() else []
            return {path.name: path.read_text() for path in paths if path.is_file() and not path.name.startswith(".")}
        except (OSError, UnicodeDecodeError) as error:
            raise KeysError(f"cannot read the keys in {self.path}: {error}") from None

    def edit(self, change: Callable[[Mapping[str, str]], Change]) -> None:
        changed = change(self.read())
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, text in changed.items():
                self._write(name, text)
        except OSError as error:
            raise KeysError(f"cannot write the keys in {self.path}: {error}") from None

    def _write(self, name: str, text: str | None) -> None:
        target = self.path / name
        if text is None:
            target.unlink()
            return
        number, path = tempfile.mkstemp(prefix=".new-", dir=self.path)  # mode 0600; no gateway looks at a dot
        try:
            with os.fdopen(number, "w") as file:
                file.write(text)
            Path(path).rename(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(path).unlink()
            raise


@dataclass(frozen=True)
class Secret:
    """The Secret of a namespace, in the cluster that kubectl would mean by the same words."""

    namespace: str | None = None
    """None: the one that the context is set to."""
    context: str | None = None
    """Of the kubeconfig; None: the current one."""
    kubeconfig: str | None = None
    """A file; None: those of KUBECONFIG, else the one in the home folder, else what a pod has."""
    soon: ClassVar[str] = "gateways know within about a minute, when kubelet has refreshed the Secret in their pods"

    def read(self) -> dict[str, str]:
        with self._connected() as (client, namespace):
            return _entries(_get(client, namespace))

    def edit(self, change: Callable[[Mapping[str, str]], Change]) -> None:
        with self._connected() as (client, namespace):
            for _ in range(_TRIES):
                secret = _get(client, namespace)
                changed = change(_entries(secret))
                with contextlib.suppress(_OvertakenError):
                    _write(client, namespace, secret, changed)
                    return
        raise KeysError(f"the Secret {KEYS} changes all the time; try again")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[tuple[Client, str]]:
        """The cluster's API, and the namespace that is meant; raises KeysError for what goes wrong with it."""
        try:
            access = location.for_a_person(self.kubeconfig, self.context)
            with Client(access, _MANAGER) as client:
                yield client, self.namespace or access.namespace
        except KubeError as error:
            raise KeysError(str(error)) from error


def _get(client: Client, namespace: str) -> dict[str, Any]:
    """The Secret, empty where there is none."""
    try:
        return client.send(request.get(_SECRET, namespace, KEYS))
    except ApiError as error:
        if error.status == 404:
            return {}
        raise


def _write(client: Client, namespace: str, before: Mapping[str, Any], change: Change) -> None:
    """Raises _OvertakenError unless the Secret is still the one that was read."""
    data = {name: text and base64.b64encode(text.encode()).decode() for name, text in change.items()}
    if before:
        patch = {"metadata": {"resourceVersion": before["metadata"]["resourceVersion"]}, "data": data}
        wanted, overtaken = request.merge(_SECRET.path(namespace, KEYS), patch, _MANAGER), {404, 409}
    else:
        metadata = {"name": KEYS, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "fastchat"}}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}
        wanted, overtaken = request.create(_SECRET, secret, _MANAGER), {409}
    try:
        client.send(wanted)
    except ApiError as error:
        if error.status in overtaken:
            raise _OvertakenError(str(error)) from error
        raise


def _entries(secret: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(data) for name, data in (secret.get("data") or {}).items()}


def _text(data: str) -> str:
    """What an entry holds; one that is no text is shown as broken, which empty is too."""
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
