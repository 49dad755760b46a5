"""Whether a ModelDeployment is ready, will be, or cannot be: what `wait_ready` decides, without waiting itself."""

import math
from collections.abc import Callable
from typing import NamedTuple

from fastchat.deployments.calls import may_pass
from fastchat.errors import DeploymentFailedError, DeploymentTimeoutError, KubernetesError
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.status import Condition

LOOK_SECONDS = 1.0
TIMEOUT_SECONDS = 1800.0
PATIENCE_SECONDS = 10.0

_CALM = frozenset({"Scheduling", "Starting", "Loading"})
"""Reasons that only take time."""

Callback = Callable[[ModelDeployment], object]
"""Is given the ModelDeployment whenever its status has changed."""


class Cause(NamedTuple):
    """Why a ModelDeployment is as it is: one word, and a sentence."""

    reason: str
    message: str


def condition(deployment: ModelDeployment, kind: str) -> Condition | None:
    """The condition of this type; None: the operator has not written it yet, or about an older `spec`."""
    status = deployment.status
    if status is None or (status.observed_generation or 0) < (deployment.metadata.generation or 0):
        return None
    return next((each for each in status.conditions if each.type == kind), None)


def is_ready(deployment: ModelDeployment) -> bool:
    """All workers run what `spec` says and are ready; or it sleeps, and the first request wakes it."""
    ready, progressing = condition(deployment, "Ready"), condition(deployment, "Progressing")
    if ready is None or progressing is None or progressing.reason != "Complete":
        return False
    sleeps = ready.reason == "ScaledToZero" and deployment.spec.autoscaling is not None
    return ready.status == "True" or sleeps


def trouble(deployment: ModelDeployment) -> Cause | None:
    """What a person has to change before it can work; None: nothing, or it takes only time."""
    ready, progressing = condition(deployment, "Ready"), condition(deployment, "Progressing")
    if ready is None or progressing is None or progressing.status != "False" or is_ready(deployment):
        return None
    if progressing.reason == "Complete" and ready.reason == "ScaledToZero":
        return Cause("ScaledToZero", f"{ready.message}: scale it to 1 or more")
    if progressing.reason == "Complete":
        gateway = condition(deployment, "GatewayReady")
        takes_time = ready.reason in _CALM or (gateway is not None and gateway.reason in _CALM)
        return None if takes_time else Cause(ready.reason, ready.message)
    return Cause(progressing.reason, ready.message if ready.reason == progressing.reason else progressing.message)


class Waiting:
    """One `wait_ready`: is shown the ModelDeployment as it is now and then."""

    def __init__(
        self, name: str, timeout: float, patience: float, progress: Callback | None, clock: Callable[[], float]
    ) -> None:
        if not timeout > 0 or not patience >= 0:
            raise ValueError(f"timeout={timeout!r}, patience={patience!r}: they are seconds; math.inf waits for ever")
        self._name = name
        self._clock = clock
        self._timeout = timeout
        self._patience = patience
        self._progress = progress
        self._began = clock()
        self._troubled_since = math.inf
        self._shown: ModelDeployment | None = None

    def see(self, deployment: ModelDeployment) -> bool:
        """Whether it is ready.

        Raises:
            DeploymentFailedError: it has been saying for long enough that it cannot work.
            DeploymentTimeoutError: the time is over.
        """
        if self._progress and (self._shown is None or self._shown.status != deployment.status):
            self._progress(deployment)
        self._shown = deployment
        if is_ready(deployment):
            return True
        now, cause = self._clock(), trouble(deployment)
        self._troubled_since = min(self._troubled_since, now) if cause else math.inf
        if cause and now - self._troubled_since >= self._patience:
            text = f"{self._name} cannot get ready: {cause.reason}: {cause.message}"
            raise DeploymentFailedError(text, reason=cause.reason, deployment=deployment)
        if now - self._began >= self._timeout:
            raise DeploymentTimeoutError(self._late(deployment), deployment=deployment)
        return False

    def missed(self, error: KubernetesError) -> None:
        """It could not be seen: returns where it may be the next time; raises the error where it will not be."""
        if self._shown is None or not may_pass(error) or self._clock() - self._began >= self._timeout:
            raise error

    def _late(self, deployment: ModelDeployment) -> str:
        ready = condition(deployment, "Ready")
        why = (
            f"{ready.reason}: {ready.message}"
            if ready
            else "no operator has looked at it: does FastChat's operator run, and does it watch this namespace?"
        )
        return f"{self._name} is not ready after {self._timeout:g} s: {why}"
