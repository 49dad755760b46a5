"""A kind of object, and where the API has its objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
"""An object as the Kubernetes API has it."""


@dataclass(frozen=True)
class Kind:
    """One kind of object and where the API has it."""

    api_version: str
    name: str
    plural: str

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    def __str__(self) -> str:
        """As people write it: `deployments.apps/v1`."""
        return f"{self.plural}.{self.api_version}" if self.group else f"{self.plural}/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of an object, of all of a namespace, or of all."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *filter(None, (name, subresource))])
