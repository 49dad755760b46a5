"""What comes back from the Kubernetes API: an object, a page of a listing, an event of a watch, or a refusal."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastchat._kube.errors import ApiError, RelistNeeded, UnreachableError
from fastchat._kube.kind import Object

_LONGEST_RETRY_AFTER_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Page:
    """Objects of a listing; they lack `apiVersion` and `kind`."""

    version: str
    """From which to watch."""
    things: list[Object]
    following: str
    """What asks for the next page; empty: there is none."""


@dataclass(frozen=True, slots=True)
class Event:
    """ADDED, MODIFIED or DELETED: the object as it is now, or last was. BOOKMARK: only its version counts."""

    type: str
    thing: Object

    @property
    def version(self) -> str:
        return str(self.thing["metadata"]["resourceVersion"])


def decode(body: bytes) -> dict[str, Any]:
    """An object or a listing; raises UnreachableError where it cannot be read."""
    try:
        return json.loads(body)  # type: ignore[no-any-return]
    except RecursionError:
        raise UnreachableError("what the Kubernetes API says is nested too deeply to be read") from None
    except ValueError as error:
        raise UnreachableError(f"the Kubernetes API said what is no JSON: {error}") from error


def page(said: Object) -> Page:
    """Raises RelistNeeded where it is no listing."""
    try:
        metadata = said["metadata"]
        return Page(str(metadata["resourceVersion"]), said.get("items") or [], metadata.get("continue") or "")
    except (KeyError, TypeError, AttributeError) as error:
        raise RelistNeeded(f"the API server said what makes no sense: {said!r:.200}") from error


def event(line: bytes) -> Event:
    """One line of a watch; raises RelistNeeded where it ends the watch, or makes no sense."""
    try:
        said = json.loads(line)
        kind, thing = said["type"], said["object"]
        if kind == "ERROR":
            raise RelistNeeded(f"the watch ended: {thing['message']}")
        metadata = thing["metadata"]
        if not (metadata["resourceVersion"] and (kind == "BOOKMARK" or metadata["name"])):
            raise RelistNeeded(f"the watch told of an object without a name: {line!r:.200}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RelistNeeded(f"the API server said what makes no sense: {type(error).__name__}: {error}") from error
    return Event(kind, thing)


def refusal(status: int, phrase: str, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error for a status of 400 and above, in the API server's own words; `headers` by names in lower case."""
    said = _status(body)
    message = str(said.get("message") or "") or body.decode(errors="replace").strip()[:500] or f"{status} {phrase}"
    return ApiError(status, message, _retry_after(headers.get("retry-after", "")), reason=str(said.get("reason") or ""))


def _status(body: bytes) -> Mapping[str, Any]:
    """A Status object; empty where the body is none, as a proxy's."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After, which the API server sends with 429 and 503; an hour is nobody's honest wish."""
    return min(float(text), _LONGEST_RETRY_AFTER_SECONDS) if text.isascii() and text.isdigit() else 0.0
