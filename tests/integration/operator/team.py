"""Everybody but the operator: users, kubelet and controllers, as clients of a real API server."""

import base64
import json
import ssl
from pathlib import Path
from typing import Any

import httpx

PATHS = {
    "deployments": "apis/apps/v1",
    "endpointslices": "apis/discovery.k8s.io/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "modeldeployments": "apis/fastchat.io/v1alpha1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "poddisruptionbudgets": "apis/policy/v1",
    "replicasets": "apis/apps/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
}
GATEWAY_KINDS = (
    *("deployments", "services", "serviceaccounts", "roles", "rolebindings", "poddisruptionbudgets"),
    "networkpolicies",
)

Object = dict[str, Any]


class Admin:
    """Calls to the API server that are not the operator's."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        for name in ("client-certificate", "client-key"):
            (folder / name).write_bytes(base64.b64decode(user[f"{name}-data"]))
        trust.load_cert_chain(folder / "client-certificate", folder / "client-key")
        self._http = httpx.Client(base_url=cluster["server"], verify=trust, trust_env=False, timeout=30)

    def close(self) -> None:
        self._http.close()

    def attempt(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", text: str = "", **query: str
    ) -> httpx.Response:
        """The answer to a body, or to one that is text already."""
        text = text if body is None else json.dumps(body)
        return self._http.request(method, path, content=text, headers={"content-type": kind}, params=query)

    def call(self, *request: Any, **query: str) -> Any:
        """What was answered; nothing for what is not there."""
        answer = self.attempt(*request, **query)
        if answer.status_code == 404 and request[0] in ("GET", "DELETE"):
            return None
        assert answer.is_success, answer.text
        return answer.json()


class Namespace:
    """One team's namespace."""

    def __init__(self, admin: Admin, name: str) -> None:
        self._admin = admin
        self.name = name

    def path(self, plural: str, name: str = "") -> str:
        return "/".join(filter(None, [PATHS.get(plural, "api/v1"), "namespaces", self.name, plural, name]))

    def get(self, plural: str, name: str) -> Any:
        return self._admin.call("GET", self.path(plural, name))

    def names(self, plural: str) -> set[str]:
        return {each["metadata"]["name"] for each in self._admin.call("GET", self.path(plural))["items"]}

    def create(self, plural: str, thing: Object, **query: str) -> Any:
        return self._admin.call("POST", self.path(plural), thing, **query)

    def patch(self, plural: str, name: str, body: Object) -> Any:
        """A merge patch, as kubectl edit and kubectl label make it: with another field manager than the operator's."""
        return self._admin.call("PATCH", self.path(plural, name), body, "application/merge-patch+json")

    def delete(self, plural: str, name: str = "", **query: str) -> Any:
        return self._admin.call("DELETE", self.path(plural, name), **query)

    def apply(self, *models: Object) -> None:
        """Server-side apply of ModelDeployments, as `kubectl apply --server-side`."""
        for model in models:
            path = self.path("modeldeployments", model["metadata"]["name"])
            self._admin.call("PATCH", path, model, "application/apply-patch+yaml", fieldManager="team", force="true")

    def condition(self, model: str, kind: str = "Ready") -> Any:
        """(status, reason, message) of a ModelDeployment; nothing where it has none."""
        status = (self.get("modeldeployments", model) or {}).get("status", {})
        found = (each for each in status.get("conditions", []) if each["type"] == kind)
        return next(((each["status"], each["reason"], each["message"]) for each in found), None)

    def reason(self, model: str, kind: str = "Ready") -> str:
        return (self.condition(model, kind) or ("", "", ""))[1]

    def replica_set(self, workload: str) -> Object:
        """A reference to a Deployment's ReplicaSet, made as the Deployment's controller makes it."""
        deployment, name = self.get("deployments", workload), f"{workload}-1"
        if name not in self.names("replicasets"):
            owner = _owner("Deployment", deployment)
            metadata = {"name": name, "labels": deployment["spec"]["template"]["metadata"]["labels"]}
            spec = {"selector": deployment["spec"]["selector"], "template": deployment["spec"]["template"]}
            self.create("replicasets", {"metadata": metadata | {"ownerReferences": [owner]}, "spec": spec})
        return _owner("ReplicaSet", self.get("replicasets", name))

    def pod(self, model: str, **status: Any) -> str:
        """A worker's pod as the ReplicaSet makes it from the template, with a status as its kubelet writes it."""
        template = self.get("deployments", f"{model}-worker")["spec"]["template"]
        metadata = template["metadata"] | {"generateName": f"{model}-worker-"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        name: str = self.create("pods", pod)["metadata"]["name"]
        self.patch("pods", f"{name}/status", {"status": status})
        return name

    def count(self, workload: str, **counts: int) -> None:
        """Counts of pods as the Deployment controller writes them."""
        generation = self.get("deployments", workload)["metadata"]["generation"]
        self.patch("deployments", f"{workload}/status", {"status": {"observedGeneration": generation, **counts}})

    def events(self, model: str) -> list[tuple[str, str]]:
        """(reason, message) of the Events on a ModelDeployment."""
        events = self._admin.call("GET", self.path("events"))["items"]
        return [(each["reason"], each["message"]) for each in events if each["involvedObject"]["name"] == model]

    def clear(self) -> None:
        for plural in (
            "modeldeployments",
            "deployments",
            "replicasets",
            "pods",
            "poddisruptionbudgets",
            "networkpolicies",
        ):
            self.delete(plural, gracePeriodSeconds="0")
        for plural in ("services", "serviceaccounts", "roles", "rolebindings", "secrets"):
            for name in self.names(plural) & {"default", "fastchat-gateway", "fastchat-internal"}:
                self.delete(plural, name)


def _owner(kind: str, thing: Object) -> Object:
    """An entry of ownerReferences."""
    about = thing["metadata"]
    return {"apiVersion": "apps/v1", "kind": kind, "name": about["name"], "uid": about["uid"], "controller": True}


def model(name: str = "vicuna", **spec: Any) -> Object:
    """A ModelDeployment; `spec` over a model from the hub."""
    return {
        "apiVersion": "fastchat.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {**spec, "model": {"source": "hf://org/name"} | spec.get("model", {})},
    }
