"""`/v1/models`."""

from typing import Literal

from pydantic import Field

from fastchat import _notebook
from fastchat.api.common import Response

Task = Literal["Generate", "Embed", "Rerank"]


class ModelCard(Response):
    """One entry of `GET /v1/models`."""

    id: str = ""
    object: str = "model"
    created: int = 0
    owned_by: str = "fastchat"
    root: str | None = Field(
        None, description="The model's own name where `id` is an alias; of an adapter, where it comes from."
    )
    parent: str | None = Field(None, description="Where `id` is an adapter, the model that it adapts.")
    task: Task | None = Field(None, description="What the model is served for.")
    max_model_len: int | None = Field(None, description="Context length in tokens, prompt and completion together.")


class ModelList(Response):
    """Response of `GET /v1/models`."""

    object: str = "list"
    data: list[ModelCard] = Field(default_factory=list)

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = [(each.id, each.task or "", each.max_model_len or "", each.root or "") for each in self.data]
        return _notebook.table(("model", "task", "context in tokens", "root"), rows)
