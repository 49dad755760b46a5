"""What `fastchat up` runs: from manifests to command lines, and what cannot be run on one machine."""

import contextlib
import itertools
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fastchat.keys.record import new_key
from fastchat.local.loopback import own_hosts
from fastchat.local.manifest import Loc, Manifest, ManifestError
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.names import INTERNAL_TOKEN_VARIABLE

API_KEYS = "FASTCHAT_API_KEYS"
"""Environment variable with API keys for the gateway, separated by commas."""

NO_PAGE = "--no-page"
"""Argument of a gateway without a page to chat on."""

_ONLY_IN_A_CLUSTER = (
    "gpus", "gpu_resource", "resources", "node_selector", "tolerations", "affinity", "runtime_class_name",
    "priority_class_name", "service_account_name", "cache", "volumes", "volume_mounts", "max_surge",
    "termination_grace_period_seconds", "autoscaling", "load_balancing",
)  # fmt: skip


class UpError(Exception):
    """Why nothing can be served; the text is for the user."""


@dataclass(frozen=True)
class Program:
    """A command to be kept running."""

    label: str
    argv: Sequence[str]
    url: str
    """Base URL of its HTTP server."""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The programs to run, and the deployments that they serve."""

    gateway: Program
    workers: Sequence[Program]
    deployments: Sequence[ModelDeployment]

    @property
    def served(self) -> frozenset[str]:
        """Every name and alias that has a worker."""
        return frozenset(name for each in self.deployments if each.spec.replicas for name in each.names)


def check(manifests: Sequence[Manifest], note: Callable[[str], None]) -> None:
    """Check that the manifests can be served on one machine; `note` is called with what has no effect there.

    Raises:
        ManifestError: a field needs a cluster, or no deployment has replicas.
    """
    problems = [problem for manifest in manifests for problem in _needs_a_cluster(manifest)]
    if problems:
        raise ManifestError(problems)
    if not any(manifest.deployment.spec.replicas for manifest in manifests):
        raise ManifestError([manifest.problem(("spec", "replicas"), "nothing would run") for manifest in manifests])
    for manifest in manifests:
        idle = list(_without_effect(manifest.deployment))
        if idle:
            note(f"{manifest.deployment.name}: only in a cluster: {', '.join(idle)}")
    if len({manifest.deployment.spec.queue for manifest in manifests}) > 1:
        note("the deployments' queues differ: on one machine the largest counts for all")


def _needs_a_cluster(manifest: Manifest) -> Iterator[str]:
    spec = manifest.deployment.spec
    if spec.engine.type != "Transformers":
        what = f"{spec.engine.type} needs a cluster; on one machine the engine is Transformers"
        yield manifest.problem(("spec", "engine", "type"), what)
    if spec.model.source.scheme == "pvc":
        what = "pvc:// needs a cluster; use hf://, s3://, file:// or package://"
        yield manifest.problem(("spec", "model", "source"), what)
    for index, adapter in enumerate(spec.model.adapters):
        if adapter.source.scheme == "pvc":
            where: Loc = ("spec", "model", "adapters", index, "source")
            yield manifest.problem(where, "pvc:// needs a cluster; use hf://, s3://, file:// or package://")
    if spec.model.chat_template_from is not None:
        what = "needs a cluster; on one machine name the file with engine.args [--chat-template=FILE]"
        yield manifest.problem(("spec", "model", "chatTemplateFrom"), what)
    for index, variable in enumerate(spec.engine.env):
        if variable.value_from is not None:
            loc: Loc = ("spec", "engine", "env", index, "valueFrom")
            yield manifest.problem(loc, "needs a cluster; give a value")


def _without_effect(deployment: ModelDeployment) -> Iterator[str]:
    spec = deployment.spec
    for name in _ONLY_IN_A_CLUSTER:
        if name in spec.model_fields_set:
            yield f"spec.{type(spec).model_fields[name].alias}"
    if spec.engine.image is not None:
        yield "spec.engine.image"
    if spec.model.secret_name is not None:
        yield "spec.model.secretName (the download takes this shell's environment)"


def make_plan(
    deployments: Sequence[ModelDeployment],
    host: str,
    port: int,
    *,
    verbose: bool,
    keys_dir: str | None = None,
    gateway_args: Sequence[str] = (),
) -> Plan:
    """The programs that serve the deployments on `host:port`.

    With `keys_dir` the gateway requires one of that folder's API keys. Workers accept requests of the gateway only:
    both get one token, from this shell's environment or else new for each run.
    """
    token = {INTERNAL_TOKEN_VARIABLE: os.environ.get(INTERNAL_TOKEN_VARIABLE) or secrets.token_urlsafe(32)}
    workers = [worker for deployment in deployments for worker in _workers(deployment, token)]
    gateway = _gateway(deployments, workers, host, port, verbose=verbose)
    gateway = replace(gateway, argv=[*gateway.argv, *gateway_args], env={**gateway.env, **token})
    return Plan(_with_keys(gateway, keys_dir) if keys_dir else gateway, workers, deployments)


def _workers(deployment: ModelDeployment, token: Mapping[str, str]) -> Iterator[Program]:
    spec = deployment.spec
    for index in range(spec.replicas):
        port = free_port()
        argv = [
            *(sys.executable, "-m", "fastchat_worker"),
            *("--model-name", deployment.name, "--model-path", str(spec.model.source)),
            *("--tensor-parallel-size", "1"),  # a machine's GPUs are for all its models
            *("--task", spec.model.task.lower(), "--host", "127.0.0.1", "--port", str(port)),
            *(["--trust-remote-code"] if spec.model.trust_remote_code else []),
            *(f"--adapter={adapter.name}={adapter.source}" for adapter in spec.model.adapters),
            *(("--chat-template", spec.model.chat_template) if spec.model.chat_template else ()),
            *spec.engine.args,
        ]
        label = deployment.name if spec.replicas == 1 else f"{deployment.name}-{index + 1}"
        env = {**{variable.name: variable.value or "" for variable in spec.engine.env}, **token}
        yield Program(label, argv, f"http://127.0.0.1:{port}", env)


def _gateway(
    deployments: Sequence[ModelDeployment], workers: Sequence[Program], host: str, port: int, *, verbose: bool
) -> Program:
    queues = [deployment.spec.queue for deployment in deployments]
    argv = [
        *(sys.executable, "-m", "fastchat_gateway", "--host", host, "--port", str(port)),
        *("--queue-max-requests", str(max(queue.max_requests for queue in queues))),
        *("--queue-timeout-seconds", str(max(queue.timeout_seconds for queue in queues))),
        *(() if verbose else ("--no-access-log",)),
    ]
    if own := own_hosts(host):
        argv += ["--allowed-hosts", ",".join(own)]
    for worker in workers:
        argv += ["--worker", worker.url]
    for deployment in deployments:
        for alias in deployment.spec.model.aliases if deployment.spec.replicas else ():
            argv += ["--alias", f"{alias}={deployment.name}"]
    # Workers listed in this shell's environment are not part of the plan.
    return Program("gateway", argv, base_url(host, port), {"FASTCHAT_WORKERS": ""})


def _with_keys(gateway: Program, keys_dir: str) -> Program:
    """The gateway with the API keys of a folder, and one more with which `fastchat up` probes whether it is ready."""
    keys = f"{new_key()},{os.environ.get(API_KEYS, '')}"
    return replace(gateway, argv=[*gateway.argv, "--keys-dir", keys_dir], env={**gateway.env, API_KEYS: keys})


def base_url(host: str, port: int) -> str:
    """The address under which this machine reaches a server on `host`."""
    reached = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104
    return f"http://{reached or (f'[{host}]' if ':' in host else host)}:{port}"


_PORTS_EACH = 16
_numbers = itertools.count(os.getpid() * _PORTS_EACH)
"""Of ports to try: what starts at the same time has other process ids, and so finds other ports."""


def free_port() -> int:
    """A port without a listener, below the range that Linux takes outgoing connections' ports from."""
    while True:
        port = 20_000 + next(_numbers) % 12_000
        with contextlib.suppress(OSError):
            _try_to_bind("127.0.0.1", port)
            return port


def listen_port(host: str, port: int) -> int:
    """`port`, or for 0 a free one.

    Raises:
        UpError: it cannot be listened on.
    """
    port = port or free_port()
    try:
        _try_to_bind(host, port)
    except OSError as error:
        raise UpError(f"cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}") from None
    return port


def _try_to_bind(host: str, port: int) -> None:
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
