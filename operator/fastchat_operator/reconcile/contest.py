"""Finds out that somebody else changes back what the operator writes, and spaces its writes out then."""

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fastchat._kube.errors import ApiError
from fastchat._kube.kind import Kind, Object
from fastchat_operator.key import ModelKey
from fastchat_operator.kube.api import FIELD_MANAGER
from fastchat_operator.kube.kind import MODEL_DEPLOYMENT, kind_of

_AT_ONCE = 3
"""Writes of the same content that follow without a delay: a person may have made a mistake, or tried something."""
_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 60.0
QUIET_SECONDS = 300.0
"""An object that was not written for so long has no history any more."""


class ContestedError(ApiError):
    """A write was put off, because somebody changes the object back each time; the message says who."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(409, message, retry_after)

    @property
    def refusal(self) -> bool:
        return True


@dataclass(frozen=True)
class Subject:
    """What is written: an object, or a subresource of it."""

    kind: Kind
    namespace: str
    name: str
    subresource: str = ""

    @classmethod
    def of(cls, thing: Object) -> "Subject":
        return cls(kind_of(thing), thing["metadata"]["namespace"], thing["metadata"]["name"])

    @classmethod
    def of_model(cls, key: ModelKey, subresource: str) -> "Subject":
        return cls(MODEL_DEPLOYMENT, key.namespace, key.name, subresource)

    def __str__(self) -> str:
        what = f"{self.kind.name} {self.name!r}"
        return f"the {self.subresource} of {what}" if self.subresource else what


@dataclass
class _Record:
    """What we have written to one subject."""

    mark: str
    writes: int = 0
    last: float = 0.0
    not_before: float = 0.0
    rival: str = ""


class Contests:
    """Counts writes by subject. One that repeats the content of the one before means that somebody has undone that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: dict[Subject, _Record] = {}

    def wait(self, subject: Subject) -> float:
        """Seconds before which it is not to be written again; 0: it may be now."""
        record = self._remembered(subject)
        return max(0.0, record.not_before - self._clock()) if record else 0.0

    def contested(self, subject: Subject, mark: str) -> bool:
        """Whether a write of `mark` would be the fourth or later in a row with this content, or lately one was."""
        record = self._remembered(subject)
        return record is not None and (_is_contested(record) or (record.mark == mark and record.writes >= _AT_ONCE))

    def rival(self, subject: Subject) -> str:
        """Who undoes the writes to it, in words; empty: it is not contested."""
        record = self._remembered(subject)
        return record.rival if record is not None and _is_contested(record) else ""

    def wrote(self, subject: Subject, mark: str, rival: str = "") -> None:
        """Count a write. `mark`: of its content; `rival`: who had undone the one before, where it is contested."""
        now = self._clock()
        record = self._remembered(subject)
        if record is None or (record.mark != mark and not _is_contested(record)):
            record = _Record(mark)
        record.mark, record.last, record.rival = mark, now, rival or record.rival
        record.writes += 1
        if _is_contested(record):
            steps = min(record.writes - _AT_ONCE - 1, 10)
            record.not_before = now + min(_FIRST_DELAY_SECONDS * 2**steps, _LONGEST_DELAY_SECONDS)
        self._records.pop(subject, None)
        self._records[subject] = record
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Drop what was written too long ago; the first entries of the dictionary are the oldest."""
        for subject in list(itertools.islice(self._records, 2)):
            self._remembered(subject)

    def subjects(self) -> Iterable[Subject]:
        """All that are contested."""
        return [subject for subject in list(self._records) if self.rival(subject)]

    def _remembered(self, subject: Subject) -> _Record | None:
        record = self._records.get(subject)
        if record is not None and self._clock() - record.last > QUIET_SECONDS:
            del self._records[subject]
            return None
        return record


def _is_contested(record: _Record) -> bool:
    return record.writes > _AT_ONCE


def rival_of(there: Object | None, subresource: str = "") -> str:
    """Who wrote an object last beside us, by its managedFields, in words.

    https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
    """
    if there is None:
        return "somebody who deletes it"
    fields = there["metadata"].get("managedFields", [])
    status = subresource == "status"
    relevant = [each for each in fields if (each.get("subresource") == "status") == status]
    written = {each["manager"]: each.get("time", "") for each in relevant}
    ours = written.pop(FIELD_MANAGER, "")
    last = max(written, key=lambda manager: written[manager], default="")
    if last and written[last] >= ours:
        return f"field manager {last!r}"
    return f"another operator of FastChat (field manager {FIELD_MANAGER!r})"


def words(subject: Subject, rival: str) -> str:
    """The message for people. It stays the same for as long as the contest lasts, and so does a status that has it."""
    return (
        f"{subject} is changed again and again by {rival}: FastChat puts it back ever more rarely, "
        f"at last once in {_LONGEST_DELAY_SECONDS:.0f} s; stop one of the two"
    )
