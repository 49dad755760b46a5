"""Does what is there differ from what is asked for? Fields that others have added are theirs."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from fastchat_operator.kind import Object
from fastchat_operator.meta import HASH_ANNOTATION

_LIST_KEYS = ("name", "mountPath", "containerPort", "uid", "key")


def drifted(desired: Object, there: Object | None) -> bool:
    """Whether `desired` must be applied: it is not there, it has changed, or somebody has changed it."""
    if there is None:
        return True
    mark = there["metadata"].get("annotations", {}).get(HASH_ANNOTATION)
    return mark != desired["metadata"]["annotations"][HASH_ANNOTATION] or not _holds(there, desired)


def _holds(there: Any, desired: Any) -> bool:
    """Whether everything in `desired` is in `there`."""
    if isinstance(desired, Mapping):
        return isinstance(there, Mapping) and all(_holds(there.get(key), value) for key, value in desired.items())
    if isinstance(desired, list):
        return isinstance(there, list) and _list_holds(there, desired)
    return bool(there == desired) or _same_quantity(there, desired) or (there is None and desired in ("", 0, False))


def _list_holds(there: Sequence[Any], desired: Sequence[Any]) -> bool:
    key = next((key for key in _LIST_KEYS if desired and all(_has(item, key) for item in desired)), None)
    if key is None:
        return len(there) == len(desired) and all(map(_holds, there, desired))
    found = {item[key]: item for item in there if _has(item, key)}
    return all(_holds(found.get(item[key]), item) for item in desired)


def _has(item: Any, key: str) -> bool:
    return isinstance(item, Mapping) and key in item


def _same_quantity(there: Any, desired: Any) -> bool:
    """The API server writes quantities its own way: 1000m as 1."""
    if not (isinstance(there, str) and isinstance(desired, str | int)):
        return False
    try:
        return bool(parse_quantity(there) == parse_quantity(str(desired)))
    except ValueError:
        return False
