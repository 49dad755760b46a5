"""What Prometheus says of the chart's alerts and of its dashboard's queries, over time."""

import json
from collections.abc import Callable
from pathlib import Path

import yaml

from support.eventually import eventually
from support.monitoring.prometheus import Prometheus

_FILES = Path(__file__).parents[3] / "charts/fastchat/files"
ALERTS = {
    rule["alert"] for group in yaml.safe_load((_FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
}
QUERIES = [
    target["expr"]
    for panel in json.loads((_FILES / "dashboard.json").read_text())["panels"]
    for target in panel.get("targets", ())
]
PATIENCE_SECONDS = 400.0


class Watch:
    """Waits for what Prometheus says, and notes what it says meanwhile.

    Attributes:
        fired: alerts that fired at any time
        shown: queries of the dashboard that had data
    """

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self.fired: set[str] = set()
        self.shown: set[str] = set()

    def until(self, enough: Callable[[set[str]], object]) -> set[str]:
        """The alerts that fire as soon as these are enough."""
        firing: set[str] = set()

        def look() -> object:
            self._note_what_is_shown()
            firing.clear()
            firing.update(self._prometheus.firing())
            self.fired |= firing
            return enough(firing)

        eventually(look, PATIENCE_SECONDS, said=lambda: f"firing: {firing}, no data: {set(QUERIES) - self.shown}")
        return firing

    def until_fired(self, alerts: set[str]) -> None:
        self.until(lambda _: alerts <= self.fired)

    def until_all_is_shown(self) -> None:
        self.until(lambda _: set(QUERIES) <= self.shown)

    def _note_what_is_shown(self) -> None:
        for query in set(QUERIES) - self.shown:
            if self._prometheus.query(_filled(query)):
                self.shown.add(query)


def _filled(query: str) -> str:
    """A query of the dashboard for all namespaces and models."""
    text = query.replace("$__rate_interval", "10s").replace("$namespace", ".*").replace("$model", ".*")
    assert "$" not in text, query
    return text
