"""A team's namespace: its models, and a pod from which they are called."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from cluster.client import Cluster
from support.eventually import eventually

T = TypeVar("T")

# A node hears of a new Service, and its name is served, some time after the pods behind it are ready.
_REACHES = """
import sys, httpx
try:
    print(int(httpx.get(sys.argv[1] + "/models").status_code > 0))
except httpx.TransportError:
    print(0)
"""

RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


class Namespace:
    """A namespace that admits only what passes Pod Security `restricted`."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.url = f"http://fastchat-gateway.{name}.svc/v1"
        self._has_client = False
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        # Without it there are no pods; it comes late where a test has just stopped the API server.
        self.wait(lambda: self.kubectl("get", "serviceaccounts", "--output=name"), lambda seen: "/default" in seen, 300)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002
        return self.cluster.kubectl(f"--namespace={self.name}", *arguments, input=input)

    def get(self, *what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *what, "--output=json"))
        return found

    def model(self, name: str, spec: dict[str, Any]) -> None:
        """Apply a ModelDeployment."""
        self.apply(
            {"apiVersion": "fastchat.io/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": name}, "spec": spec}
        )

    def simulator(self, name: str, *arguments: str, **spec: Any) -> None:
        """Apply a ModelDeployment whose workers are simulators."""
        engine = {
            "type": "Custom",
            "image": self.cluster.image("tools"),
            "args": ["8000", "--host=0.0.0.0", *arguments],
        }
        self.model(name, {"model": {"source": "file:///none"}, "engine": engine} | spec)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "--filename=-", input="\n---\n".join(map(json.dumps, objects)))

    def condition(self, model: str, kind: str = "Ready") -> dict[str, Any]:
        """A condition of a ModelDeployment; empty while there is none."""
        conditions = self.get("modeldeployment", model).get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def wait_ready(self, *models: str, seconds: float = 300) -> None:
        """Until all replicas of these models are ready, and the client pod, where there is one, reaches the gateway."""
        for model in models:
            self.wait(partial(self.condition, model), lambda seen: seen.get("reason") == "Ready", seconds)
        if self._has_client:
            self.wait(lambda: self.ask(_REACHES), bool)

    def roll_out(self, model: str, *arguments: str) -> None:
        """Give a model's engine other arguments, and return when all its pods are other ones and ready."""
        before = {pod["metadata"]["name"] for pod in self.pods(model)}
        patch = {"spec": {"engine": {"args": list(arguments)}}}
        self.kubectl("patch", "md", model, "--type=merge", f"--patch={json.dumps(patch)}")
        self.wait(
            lambda: {pod["metadata"]["name"] for pod in self.pods(model)},
            lambda now: len(now) == len(before) and not now & before,
            240,
        )
        self.wait_ready(model)

    def drain(self, pod: dict[str, Any]) -> float:
        """Evict a pod from its node by `kubectl drain`, and have the node take pods again; seconds until it is gone."""
        name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        self.kubectl("label", "pod", name, "drained=yes")
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            drained = pool.submit(
                self.cluster.kubectl, "drain", node, "--pod-selector=drained=yes", "--delete-emptydir-data"
            )
            try:
                self.wait(lambda: self.kubectl("get", "pods", "--output=name"), lambda pods: f"pod/{name}" not in pods)
                took = time.monotonic() - began
                drained.result()
            finally:
                self.cluster.kubectl("uncordon", node)
        return took

    def events(self, model: str) -> list[tuple[str, str]]:
        """(reason, message) of the Events on a ModelDeployment."""
        found = self.get("events", f"--field-selector=involvedObject.name={model}")["items"]
        return [(each["reason"], each["message"]) for each in found]

    def pods(self, model: str) -> list[dict[str, Any]]:
        """Worker pods of a model that are not on their way out."""
        found = self.get("pods", f"--selector=fastchat.io/model-deployment={model}")["items"]
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def gateways(self) -> list[dict[str, Any]]:
        """Pods of the namespace's gateway."""
        found: list[dict[str, Any]] = self.get("pods", "--selector=app.kubernetes.io/component=gateway")["items"]
        return found

    def wait(self, look: Callable[[], T], enough: Callable[[T], object], seconds: float = 180) -> T:
        """What is seen as soon as it is enough; fails with what was seen last."""
        seen: list[T] = []

        def is_enough() -> object:
            seen[:] = [look()]
            return enough(seen[0])

        eventually(is_enough, seconds, said=lambda: f"still {seen[0]}\n{self.kubectl('get', 'md,pods', '-o', 'wide')}")
        return seen[0]

    def start(self, pod: str, *command: str) -> None:
        """Start a pod of the tools image."""
        container = {
            "name": "main",
            "image": self.cluster.image("tools"),
            "command": list(command),
            "securityContext": RESTRICTED,
        }
        spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": spec})

    def client(self) -> None:
        """Start the pod that `ask` runs scripts in."""
        self.start("client", "sleep", "infinity")
        self.kubectl("wait", "pod/client", "--for=condition=Ready", "--timeout=180s")
        self._has_client = True

    def ask(self, script: str, *arguments: str) -> Any:
        """The JSON that a Python script prints in the client pod; its arguments are the API's URL and these."""
        return json.loads(self.kubectl("exec", "-i", "client", "--", "python", "-", self.url, *arguments, input=script))

    def delete(self) -> None:
        self.cluster.kubectl("delete", "namespace", self.name, "--wait=false")
