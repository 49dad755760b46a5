"""What the operator observes of a ModelDeployment: `status`."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from fastchat.v1alpha1.primitives import Part, Quantity, Unique


class Condition(Part):
    """One observation about a deployment, in Kubernetes' shape."""

    type: Literal["Ready", "Progressing", "GatewayReady", "Autoscaling"] = Field(
        description="Ready: requests are served. Progressing: workers are being started or replaced. "
        "GatewayReady: the namespace's gateway serves. Autoscaling: the number of workers follows the demand."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    reason: str = Field(
        max_length=1024,
        pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="The cause in one word, such as Unschedulable or ModelLoadFailed.",
    )
    message: str = Field("", max_length=32768, description="The cause in words for people.")
    last_transition_time: Annotated[AwareDatetime, Field(strict=False)] = Field(
        description="Since when the status is what it is."
    )
    observed_generation: int | None = Field(None, ge=0, description="Generation of the resource that this is about.")


class LoadProgress(Part):
    """How far the workers are that are being started: the one that is furthest behind."""

    phase: Literal["Pulling", "Downloading", "Loading", "WarmingUp"] = Field(
        description="Pulling: its node fetches the image. Downloading: it fetches the model's files. "
        "Loading: it reads them into memory. WarmingUp: it prepares to compute."
    )
    done: Quantity | None = Field(None, description="Bytes that are done, such as 4.1Gi; left out: not known.")
    total: Quantity | None = Field(None, description="Bytes of this phase in all; left out: not known.")
    percent: int | None = Field(None, ge=0, le=100, description="Share of this phase that is done.")
    eta_seconds: int | None = Field(
        None, ge=0, description="Seconds until this phase is over, at the present rate; left out: not known."
    )
    summary: str = Field(max_length=128, description="All of this for people, such as Downloading 30%, 95s left.")


class Status(Part):
    """What the operator observes."""

    observed_generation: int | None = Field(None, ge=0, description="Generation of the resource that this is about.")
    url: str | None = Field(
        None, max_length=1024, description="Base URL of the OpenAI API in the cluster, ending in /v1."
    )
    replicas: int = Field(0, ge=0, description="Workers that exist.")
    ready_replicas: int = Field(0, ge=0, description="Workers that have loaded the model and serve it.")
    ready: str | None = Field(None, max_length=32, description="Ready and wanted workers for people, such as 1/2.")
    selector: str | None = Field(
        None, max_length=1024, description="Label selector of the worker pods, for the scale subresource."
    )
    progress: LoadProgress | None = Field(
        None, description="How far workers are that are being started; left out where none is, or where it is stuck."
    )
    conditions: Annotated[list[Condition], Unique("type")] = Field(
        default_factory=list,
        max_length=8,
        description="Ready, Progressing, GatewayReady and Autoscaling, with the root cause.",
    )
