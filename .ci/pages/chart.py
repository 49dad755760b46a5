"""Every value of the chart with its default and its comment, from values.yaml."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from pages.tables import code, plain, table

CHART = Path(__file__).parents[2] / "charts/fastchat"
VALUES = CHART / "values.yaml"
_NOTE = "<!-- Generated from charts/fastchat/values.yaml by `make pages`. Do not edit. -->\n"


class Value(NamedTuple):
    """A value, or a group of them, as the file has it."""

    path: str
    default: str
    about: str
    group: bool


def reference() -> str:
    """The page of the site."""
    return f"""{_NOTE}# Values of the chart

`helm install fastchat charts/fastchat --values FILE`, or `--set PATH=VALUE`. A value that does not exist or has the
wrong type is refused with its place. [Installing](../install.md) says when to set which.

{_sections(2)}"""


def readme() -> str:
    """charts/fastchat/README.md, which registries show beside the chart."""
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return f"""{_NOTE}# FastChat on Kubernetes

{about["description"]}.

A `ModelDeployment` says which model is served, by how many workers, on how many GPUs; an operator makes them, and each
namespace with a model has a gateway that answers OpenAI's API.

```
helm install fastchat charts/fastchat --namespace fastchat-system --create-namespace
kubectl apply --filename examples/quickstart.yaml
kubectl get modeldeployments
```

From a registry that has the package: `helm install fastchat oci://REGISTRY/fastchat --version {about["version"]}`.
Needed: Kubernetes {_oldest(about["kubeVersion"])} or newer, Helm 3.14 or newer, and the images in a registry of yours.
The project's `docs/install.md` goes through existing clusters, kind, GPUs, network policies, upgrades and removal.

## Values

{_sections(3)}"""


def _oldest(versions: str) -> str:
    """Of `>=1.30.0-0`, 1.30."""
    return ".".join(versions.removeprefix(">=").split(".")[:2])


def _sections(level: int) -> str:
    """A table for each key at the top, those without further ones together in the first."""
    values = list(parse(VALUES.read_text()))
    groups = [value for value in values if value.group and "." not in value.path]
    alone = [value for value in values if not value.group and "." not in value.path]
    parts = [_table(alone)]
    for group in groups:
        below = [value for value in values if value.path.startswith(f"{group.path}.")]
        parts.append(
            "\n".join([f"{'#' * level} {group.path}", "", *([group.about, ""] if group.about else []), _table(below)])
        )
    return "\n".join(parts)


def _table(values: list[Value]) -> str:
    told = [value for value in values if value.about or not value.group]
    return table(("value", "default", "meaning"), [(code(it.path), code(it.default), plain(it.about)) for it in told])


def parse(text: str) -> Iterator[Value]:
    """The values of a file, groups before what is in them; maps in braces are values."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    yield from _below(root, text.splitlines(), ())


def _below(node: yaml.MappingNode, lines: list[str], place: tuple[str, ...]) -> Iterator[Value]:
    for key, value in node.value:
        path = (*place, str(key.value))
        about = _comment(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield Value(".".join(path), "", about, group=True)
            yield from _below(value, lines, path)
        else:
            yield Value(".".join(path), _source(lines, value), about, group=False)


def _source(lines: list[str], node: yaml.Node) -> str:
    """A value as it is written, which is on one line."""
    return lines[node.start_mark.line][node.start_mark.column : node.end_mark.column]


def _comment(lines: list[str], line: int) -> str:
    """What stands right above a key."""
    start = line
    while start and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return " ".join(text.strip().removeprefix("#").strip() for text in lines[start:line])
