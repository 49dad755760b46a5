"""Where API keys are kept: in the Secret `fastchat-keys` of a namespace, through kubectl, or in a folder.

Both hold a KeyRecord per key, as JSON under the key's name, never the key itself.
"""

import base64
import binascii
import contextlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import ValidationError

from fastchat.keys.record import KeyRecord
from fastchat.v1alpha1.names import KEYS

Change = Mapping[str, str | None]
"""Name → new text; None: to be removed."""

_NAME = re.compile("[A-Za-z0-9][-._A-Za-z0-9]{0,62}")
_LOG_LINE = re.compile("^[IWE][0-9]{4} .*\n", re.MULTILINE)
_TRIES = 5


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
    """The Secret of a namespace; without one, of the namespace that kubectl is set to."""

    namespace: str | None = None
    soon: ClassVar[str] = "gateways know within about a minute, when kubelet has refreshed the Secret in their pods"

    def read(self) -> dict[str, str]:
        return _entries(self._get())

    def edit(self, change: Callable[[Mapping[str, str]], Change]) -> None:
        for _ in range(_TRIES):
            secret = self._get()
            changed = change(_entries(secret))
            with contextlib.suppress(_OvertakenError):
                self._write(secret, changed)
                return
        raise KeysError(f"the Secret {KEYS} changes all the time; try again")

    def _get(self) -> dict[str, Any]:
        """The Secret, empty where there is none."""
        text = self._kubectl("get", "secret", KEYS, "--ignore-not-found", "--output=json")
        secret: dict[str, Any] = json.loads(text) if text else {}
        return secret

    def _write(self, before: Mapping[str, Any], change: Change) -> None:
        """Raises _OvertakenError unless the Secret is still the one that was read."""
        data = {name: text and base64.b64encode(text.encode()).decode() for name, text in change.items()}
        if before:
            version = {"resourceVersion": before["metadata"]["resourceVersion"]}
            patch = json.dumps({"metadata": version, "data": data})
            self._kubectl("patch", "secret", KEYS, "--type=merge", f"--patch={patch}", again=("Conflict", "NotFound"))
        else:
            labels = {"app.kubernetes.io/part-of": "fastchat"}
            metadata = {"name": KEYS, "labels": labels}
            secret = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}
            self._kubectl("create", "--filename=-", given=json.dumps(secret), again=("AlreadyExists",))

    def _kubectl(self, *arguments: str, given: str | None = None, again: tuple[str, ...] = ()) -> str:
        """What kubectl printed; of an error that is in `again` raises _OvertakenError, of any other KeysError."""
        where = [] if self.namespace is None else [f"--namespace={self.namespace}"]
        command = ["kubectl", *where, "--request-timeout=30s", *arguments]
        try:
            done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603
        except FileNotFoundError:
            raise KeysError(
                "kubectl is not on PATH, and keys get into a cluster through it; --dir FOLDER keeps them in files"
            ) from None
        if any(done.stderr.startswith(f"Error from server ({reason})") for reason in again):
            raise _OvertakenError(done.stderr.strip())
        if done.returncode:
            raise KeysError(f"kubectl: {_LOG_LINE.sub('', done.stderr).strip()}")
        return done.stdout


def _entries(secret: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(data) for name, data in (secret.get("data") or {}).items()}


def _text(data: str) -> str:
    """What an entry holds; one that is no text is shown as broken, which empty is too."""
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
