"""What a workload's pods are made from, written down on it, so that another release's operator leaves them as they are.

A release brings images of its own. A workload keeps those of the release that made its pods for as long as nothing
else about them changes; when they are replaced anyway they get the images of the release that runs.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from pydantic import ConfigDict, ValidationError

from fastchat._kube.kind import Object
from fastchat.v1alpha1.deployment import GROUP
from fastchat.v1alpha1.primitives import Part
from fastchat_operator.settings import Release, Settings

ANNOTATION = f"{GROUP}/revision"
ROLL_ANNOTATION = f"{GROUP}/roll"
"""On a ModelDeployment: another value replaces its workers. On pods: the values that they were made with."""

Template = dict[str, Any]


class Revision(Part):
    """The annotation, as JSON; fields of a newer operator are passed over."""

    model_config = ConfigDict(extra="ignore")

    asked: str
    """Mark of what the ModelDeployment asks for; empty for a gateway, which none asks for."""
    template: str
    """Mark of the pod template."""
    release: Release
    """The images that pods get where neither the ModelDeployment nor a setting names one."""
    unasked: bool = False
    """Whether these pods took the place of others that the ModelDeployment did not ask to replace."""


def choose_template(
    there: Object | None, asked: str, settings: Settings, template_of: Callable[[Settings], Template]
) -> tuple[Template, Revision]:
    """The pod template for the workload `there`, and what to record on it.

    It is made with the images of the release that made the pods that are there, if that gives the same pods; else with
    those of this release.
    """
    before = recorded(there)
    if before is not None:
        kept = template_of(settings.model_copy(update={"release": before.release}))
        if mark(kept) == before.template:
            return kept, before.model_copy(update={"asked": asked})
    template = template_of(settings)
    unasked = there is not None and (before is None or before.asked == asked)
    return template, Revision(asked=asked, template=mark(template), release=settings.release, unasked=unasked)


def recorded(there: Object | None) -> Revision | None:
    """The revision on a workload; None: it has none, as those of the first releases, or it cannot be read."""
    text = ((there or {}).get("metadata", {}).get("annotations") or {}).get(ANNOTATION, "")
    try:
        return Revision.model_validate_json(text) if text else None
    except ValidationError:
        return None


def record(workload: dict[str, Any], revision: Revision) -> dict[str, Any]:
    """The workload with its revision."""
    annotations = {ANNOTATION: revision.model_dump_json(by_alias=True)}
    return workload | {"metadata": workload["metadata"] | {"annotations": annotations}}


def mark(value: Any) -> str:
    """A short hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
