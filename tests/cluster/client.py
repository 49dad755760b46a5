"""A cluster as tests use it, whoever made it."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def kubectl(binary: Path, kubeconfig: Path, arguments: Sequence[str], input: str | None = None) -> str:  # noqa: A002
    """Output of kubectl. Raises RuntimeError with what it complained about."""
    command = [str(binary), f"--kubeconfig={kubeconfig}", *arguments]
    done = subprocess.run(command, input=input, capture_output=True, text=True, env={**os.environ, "NO_PROXY": "*"})
    if done.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Cluster:
    """Any cluster.

    Attributes:
        kubeconfig: file of a cluster administrator
        registry_push_url: "host:port" that images are pushed to from here
        external: whether it was there before the tests, and has no node that they may reach into
    """

    external = True

    def __init__(self, kubeconfig: Path, binary: Path, registry_push_url: str, registry: str) -> None:
        self.kubeconfig = kubeconfig
        self.registry_push_url = registry_push_url
        self._kubectl = binary
        self._registry = registry
        self._images: dict[str, str] = {}

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002
        """Output of kubectl as administrator. Raises RuntimeError with what it complained about."""
        return kubectl(self._kubectl, self.kubeconfig, arguments, input)

    def kubectl_command(self, *arguments: str) -> list[str]:
        """Command line of kubectl as administrator, to be run in the background."""
        return [str(self._kubectl), f"--kubeconfig={self.kubeconfig}", *arguments]

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl("apply", "--filename=-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def image(self, name: str) -> str:
        """Reference that pods pull one of our images by, which is built and pushed first; names are builder.py's."""
        from cluster.images import builder  # not wanted by whoever only brings a cluster up

        if name not in self._images:
            pushed = builder.push(builder.build([name])[name], self.registry_push_url)
            self._images[name] = self._registry + pushed.removeprefix(self.registry_push_url)
        return self._images[name]
