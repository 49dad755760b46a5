"""`fastchat deploy`: serve a model in a cluster, from a manifest or from a few options."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastchat.cli import options
from fastchat.cli.cluster.place import opened
from fastchat.cli.cluster.status import PATIENCE_SECONDS, Patience, follow
from fastchat.cli.console import say, show, show_json
from fastchat.cli.errors import CommandError

if TYPE_CHECKING:
    from fastchat.v1alpha1.deployment import ModelDeployment

Files = Annotated[
    list[Path] | None, typer.Argument(metavar="FILE.yaml…", help="manifests of ModelDeployments", show_default=False)
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="SOURCE", help="in place of a file, such as hf://org/name"),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="default: made of the last part of the source")
]
Gpus = Annotated[int | None, typer.Option("--gpus", metavar="N", parser=options.whole_number(0, 64), help="per worker")]
Replicas = Annotated[
    int | None, typer.Option("--replicas", metavar="N", parser=options.whole_number(0, 1000), help="workers")
]
MaxReplicas = Annotated[
    int | None,
    typer.Option(
        "--max-replicas",
        metavar="N",
        parser=options.whole_number(1, 1000),
        help="as many workers as the demand is for, from --replicas up to so many",
    ),
]
Engine = Annotated[str | None, typer.Option("--engine", metavar="TYPE", help="Transformers (default) or VLLM")]
Task = Annotated[str | None, typer.Option("--task", metavar="TASK", help="Generate (default), Embed or Rerank")]
Secret = Annotated[
    str | None, typer.Option("--secret", metavar="NAME", help="Secret with HF_TOKEN or the keys of an S3 bucket")
]
EngineArgs = Annotated[
    list[str] | None, typer.Option("--arg", metavar="ARG", help="argument of the engine, such as --dtype=bfloat16")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="print the manifest, and change nothing")]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="show how it starts, until all workers are ready")]
Force = Annotated[bool, typer.Option("--force", help="take over fields that somebody else has set")]


def deploy(
    files: Files = None,
    model: Model = None,
    name: Name = None,
    gpus: Gpus = None,
    replicas: Replicas = None,
    max_replicas: MaxReplicas = None,
    engine: Engine = None,
    task: Task = None,
    secret: Secret = None,
    arg: EngineArgs = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    patience: Patience = PATIENCE_SECONDS,
    force: Force = False,
    json: options.AsJson = False,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Serve a model in a cluster: apply manifests, or one that is made of the options.

    It is applied as `kubectl apply --server-side` does; what others have set stays.
    """
    spec = _spec(gpus, replicas, max_replicas, engine, task, secret, arg or [])
    wanted = _wanted(files or [], model, name, spec)
    if dry_run:
        return _print(wanted, namespace, json=json)
    return _apply(wanted, (namespace, context, kubeconfig), patience=patience if wait else None, force=force, json=json)


def _spec(
    gpus: int | None,
    replicas: int | None,
    max_replicas: int | None,
    engine: str | None,
    task: str | None,
    secret: str | None,
    args: list[str],
) -> dict[str, Any]:
    """Fields of `spec` for the options that were given."""
    scaled = max_replicas is not None
    fields = {
        "gpus": gpus,
        "replicas": None if scaled else replicas,
        "autoscaling": _given(minReplicas=replicas, maxReplicas=max_replicas) if scaled else None,
        "engine": _given(type=engine, args=args or None),
        "model": _given(task=task, secretName=secret),
    }
    return {field: value for field, value in fields.items() if value not in (None, {})}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _wanted(files: list[Path], model: str | None, name: str | None, spec: dict[str, Any]) -> "list[ModelDeployment]":
    """Raises typer.BadParameter, ManifestError, DeploymentInvalidError."""
    from fastchat.deployments import manifest
    from fastchat.local.manifest import read

    if bool(files) == bool(model):
        raise typer.BadParameter("give manifests, or --model SOURCE")
    if model:
        return [manifest(name or name_of(model), model, **spec)]
    if spec or name:
        raise typer.BadParameter("a manifest says all of it: change the file, or give --model in its place")
    return [each.deployment for each in read(files, say)]


def name_of(source: str) -> str:
    """A name for the model at a source: of its last part what a resource's name may have.

    Raises:
        typer.BadParameter: nothing is left of it.
    """
    last = re.split(r"[@:](?!//)", source.partition("://")[2] or source)[0].rstrip("/").rpartition("/")[2]
    plain = re.sub(r"[^a-z0-9.]+", "-", re.sub(r"\.gguf$", "", last.lower()))
    name = re.sub(r"[-.]*\.[-.]*", ".", plain)[:63].strip("-.")
    if not name:
        raise typer.BadParameter(f"{source!r} has no part that can be a name: give --name")
    return name


def _print(wanted: "list[ModelDeployment]", namespace: str | None, *, json: bool) -> None:
    import yaml

    from fastchat.deployments.objects import body_of

    bodies = [body_of(each, namespace or "") for each in wanted]
    for body in bodies:
        if not body["metadata"]["namespace"]:
            del body["metadata"]["namespace"]
    if json:
        return show_json(bodies if len(bodies) > 1 else bodies[0])
    return show(yaml.safe_dump_all(bodies, sort_keys=False, allow_unicode=True).rstrip())


def _apply(
    wanted: "list[ModelDeployment]",
    place: tuple[str | None, str | None, str | None],
    *,
    patience: float | None,
    force: bool,
    json: bool,
) -> None:
    """`patience`: of who waits until all workers are ready; None: nobody does."""
    from fastchat.cli.cluster.shown import as_json

    for each in wanted:
        namespace = _namespace(each, place[0])
        with opened(namespace, *place[1:]) as there:
            applied = there.apply(each, force=force)
            name = applied.metadata.name
            if patience is not None:
                follow(there, name, json=json, patience=patience)
            elif json:
                show_json(as_json(applied))
            else:
                say(f"{name} is applied in {applied.metadata.namespace}; see fastchat status {name} --watch")


def _namespace(deployment: "ModelDeployment", option: str | None) -> str | None:
    """Raises CommandError where the manifest and the option name two."""
    name, own = deployment.metadata.name, deployment.metadata.namespace
    if own and option and own != option:
        raise CommandError(f"{name} is for the namespace {own}, and --namespace says {option}: leave one of them out")
    return option or own
