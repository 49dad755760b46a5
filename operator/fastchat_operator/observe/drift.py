"""Whether an object has to be applied again. Fields that others have added to it do not count."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastchat._kube.kind import Object
from fastchat_operator.observe.quantity import amount

_LIST_KEYS = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
    "ports": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists that others may add to, and what tells their entries apart; the API server takes any other list as a whole."""
_WHOLE = "selector"


def drifted(desired: Object, there: Object | None) -> bool:
    """Whether `desired` must be applied: it is not there, another hash was planned, or a field was changed."""
    return there is None or not _holds(there, desired)


def _holds(there: Any, desired: Any, field: str = "") -> bool:
    """Whether everything in `desired` is in `there`, the value of a field."""
    if there is None:
        return not desired  # the API server drops what is empty
    if isinstance(desired, Mapping):
        if not isinstance(there, Mapping) or (field == _WHOLE and there.keys() != desired.keys()):
            return False
        return all(_holds(there.get(key), value, key) for key, value in desired.items())
    if isinstance(desired, list):
        return isinstance(there, list) and _list_holds(there, desired, _LIST_KEYS.get(field, ""))
    return bool(there == desired) or _same_quantity(there, desired)


def _list_holds(there: Sequence[Any], desired: Sequence[Any], key: str) -> bool:
    if not key or not all(key in item for item in desired):  # the ports of a NetworkPolicy have no names
        return len(there) == len(desired) and all(map(_holds, there, desired))
    found = {item.get(key): item for item in there}
    return all(_holds(found.get(item[key]), item) for item in desired)


def _same_quantity(there: Any, desired: Any) -> bool:
    """The API server writes quantities its own way: 1000m as 1."""
    if not (isinstance(there, str) and isinstance(desired, str | int)):
        return False
    try:
        return amount(there) == amount(str(desired))
    except ValueError:
        return False
