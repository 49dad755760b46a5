"""Is FastChat there? What `helm test` runs in a pod: `python -c … NAMESPACE DEPLOYMENT SECONDS`."""

import json
import os
import ssl
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))


def main(namespace: str, deployment: str, seconds: str) -> None:
    """Ask until nothing is missing; ends with 1 and what is missing after so many seconds."""
    deadline = time.monotonic() + float(seconds)
    while wrong := missing(namespace, deployment):
        if time.monotonic() > deadline:
            sys.exit(f"not ready after {seconds} s: {wrong}")
        time.sleep(1)
    sys.stdout.write("ModelDeployments are served, and the operator is ready.\n")


def missing(namespace: str, deployment: str) -> str:
    """What is not there yet, in words; nothing when all is."""
    try:
        kinds = {each["kind"] for each in get("/apis/fastchat.io/v1alpha1")["resources"]}
        operator = get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}")
    except OSError as error:
        return f"{getattr(error, 'url', 'the Kubernetes API')}: {error}"
    if "ModelDeployment" not in kinds:
        return "the API server does not know ModelDeployments"
    return unready(operator["spec"]["replicas"], operator["metadata"]["generation"], operator.get("status", {}))


def unready(wanted: int, generation: int, status: Mapping[str, int]) -> str:
    """What the operator's Deployment lacks."""
    if status.get("observedGeneration", 0) < generation:
        return "the operator's Deployment has not been looked at"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if min(updated, available) < wanted:
        return f"of {wanted} operators {updated} are up to date and {available} available"
    return ""


def get(path: str) -> Any:
    """An object of the Kubernetes API."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}{path}"
    token = (ACCOUNT / "token").read_text()
    trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trust)
    with opener.open(urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=10) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
