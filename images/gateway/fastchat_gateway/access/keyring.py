"""API keys: where they come from, and whose a request is. Only their SHA-256 is kept."""

import hmac
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from fastchat.keys.record import KeyRecord
from fastchat_gateway.errors import expired_api_key, invalid_api_key, missing_api_key

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key by its name, and what it may do; None: no limit."""

    name: str
    digest: bytes
    models: frozenset[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    expires: float | None = None
    """Unix time."""
    operator: bool = False
    """It may see all models, workers, keys and metrics."""

    @property
    def is_limited(self) -> bool:
        """It may not do as much as it likes."""
        return (self.requests_per_minute or self.tokens_per_minute or self.max_concurrent) is not None


NO_KEY = Key("", b"")
"""Of every request where none is required."""

Look = tuple[tuple[str, int, int, int], ...]
"""What a glance at a folder shows: path, inode, time of change and size of each file."""


class Keyring:
    """The keys of the command line, and those of a folder with one file per key, which may change at any time.

    Keys are required as soon as there is a file, valid or not: a broken one locks its key out and opens nothing.
    """

    def __init__(self, digests: Iterable[bytes] = (), folder: Path | None = None, *, required: bool = False) -> None:
        self._given = {each: Key(f"key-{number}", each) for number, each in enumerate(digests, 1)}
        self._folder = folder
        self._always_required = required or bool(self._given)
        self.required = self._always_required or folder is not None
        """Whether a request needs a key."""
        self._keys: Mapping[bytes, Key] = self._given
        self._look: Look | None = None
        self._problems: Mapping[str, str] = {}
        self.reload()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, bearer: bytes | None, now: float) -> Key:
        """The key whose SHA-256 a request has brought, at Unix time `now`; raises RefusedError (401)."""
        if not self.required:
            return NO_KEY
        if bearer is None:
            raise missing_api_key()
        key = self._look_up(bearer)
        if key is None:
            raise invalid_api_key()
        if key.expires is not None and key.expires <= now:
            raise expired_api_key(key.name, datetime.fromtimestamp(key.expires, UTC))
        return key

    def known(self, bearer: bytes, now: float) -> Key | None:
        """The key whose SHA-256 this is, unless it has expired."""
        key = self._look_up(bearer)
        return None if key is None or (key.expires is not None and key.expires <= now) else key

    def __iter__(self) -> Iterator[Key]:
        """All that are configured, expired ones too."""
        return iter(self._keys.values())

    def _look_up(self, bearer: bytes) -> Key | None:
        # The time of the look-up tells about the digest, which nobody can steer towards a known one.
        key = self._keys.get(bearer)
        return key if key is not None and hmac.compare_digest(key.digest, bearer) else None

    def reload(self) -> bool:
        """Take over what changed in the folder; False where nothing did. What cannot be read stays as it was.

        May run in a thread: a request sees the keys before or after, never a mixture.
        """
        if self._folder is None:
            return False
        try:
            root = _snapshot(self._folder)
            look = _glance(root)
            if look == self._look:
                return False
            keys, problems = _load(Path(each[0]) for each in look)
            if _snapshot(self._folder) != root:
                return False  # replaced meanwhile, so perhaps half deleted: the next look is at the new one
        except OSError as error:
            self._complain({"": f"cannot read the API keys: {error}"})
            return False
        self._keys = {**self._given, **keys}
        self.required = self._always_required or bool(look)
        self._look = look
        self._complain(problems)
        return True

    def _complain(self, problems: Mapping[str, str]) -> None:
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                logger.error("%s", problem)
        self._problems = problems


def _snapshot(folder: Path) -> Path:
    """Where a folder's files are: a mounted Secret is replaced as a whole, by turning its link `..data`."""
    data = folder / "..data"
    return data.resolve() if data.is_symlink() else folder


def _glance(root: Path) -> Look:
    with os.scandir(root) as entries:
        files = [(each.path, each.stat()) for each in entries if each.name[0] != "." and each.is_file()]
    return tuple(sorted((path, stat.st_ino, stat.st_mtime_ns, stat.st_size) for path, stat in files))


def _load(paths: Iterable[Path]) -> tuple[dict[bytes, Key], dict[str, str]]:
    """Keys by digest, and by name what is wrong with the others."""
    keys: dict[bytes, Key] = {}
    problems: dict[str, str] = {}
    for path in paths:
        try:
            key = _read(path)
        except (ValidationError, PermissionError) as error:
            problems[path.name] = f"API key {path.name!r} is locked out: {_explain(error)}"
            continue
        twin = keys.setdefault(key.digest, key)
        if twin is not key:
            problems[path.name] = f"API key {path.name!r} is ignored: it is the same key as {twin.name!r}"
    return keys, problems


def _read(path: Path) -> Key:
    record = KeyRecord.model_validate_json(path.read_bytes(), by_alias=True, by_name=False)
    return Key(
        path.name,
        bytes.fromhex(record.sha256),
        None if record.models is None else frozenset(record.models),
        record.requests_per_minute,
        record.tokens_per_minute,
        record.max_concurrent,
        None if record.expires is None else record.expires.timestamp(),
        bool(record.operator),
    )


def _explain(error: ValidationError | OSError) -> str:
    """Without the values: one may be a key, put there by mistake."""
    if isinstance(error, OSError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors())
