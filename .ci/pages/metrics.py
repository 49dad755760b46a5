"""Every metric that gateway, worker and operator show, as each of them registers it."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from support.monitoring import samples

from pages.tables import code, plain, table

_INTRODUCTION = """\
<!-- Generated from what gateway, worker and operator register by `make pages`. Do not edit. -->
# Metrics

Each part serves them at `/metrics` in Prometheus' text format. [Seeing what happens](../observability.md) has the
alerts, the dashboard and how Prometheus gets to them. A histogram has `_bucket`, `_sum` and `_count`.
"""


def reference() -> str:
    """The page of the site."""
    parts = {"Gateway": samples.of_gateway(), "Worker": samples.of_worker(), "Operator": samples.of_operator()}
    tables = [
        f"## {part}\n\n{table(('metric', 'type', 'labels', 'meaning'), _rows(text))}" for part, text in parts.items()
    ]
    return "\n".join([_INTRODUCTION, *tables])


def _rows(text: str) -> Iterator[tuple[str, str, str, str]]:
    for family in sorted(text_string_to_metric_families(text), key=lambda family: family.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield code(name), family.type, ", ".join(map(code, _labels(family))), plain(family.documentation)


def _labels(family: Metric) -> list[str]:
    return sorted({label for sample in family.samples for label in sample.labels} - {"le"})
