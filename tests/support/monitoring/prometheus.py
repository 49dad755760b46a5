"""Debian's Prometheus, with rules of the chart whose times are shortened, so that no test waits minutes."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml
from cluster.tools import packages

from support.eventually import eventually
from support.ports import free_port

SCRAPE = "500ms"
WINDOWS = {"5m": "10s", "15m": "20s"}
"""Range in the chart's rules → range in the tests' copy: twenty scrapes at least."""


class Target(NamedTuple):
    """What is scraped, and the labels that a PodMonitor gives it."""

    port: int
    labels: Mapping[str, str]


class Prometheus:
    """`prometheus` on a free port, its data in a folder.

    Raises:
        UnavailableError: it cannot be installed here.
    """

    def __init__(
        self,
        folder: Path,
        rules: str,
        *,
        jobs: Sequence[Mapping[str, Any]] = (),
        inside: Sequence[str] = (),
        address: str = "127.0.0.1",
    ) -> None:
        """
        Args:
            jobs: entries of `scrape_configs` beside what `scrape` names
            inside: command line that runs another where the jobs' targets are
            address: of this machine, there
        """
        packages.require(packages.PROMETHEUS)
        self._folder, at = folder, f"{address}:{free_port()}"
        (folder / "rules.yaml").write_text(shortened(rules))
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(_config(folder, jobs)))
        self.scrape([])
        self._http = httpx.Client(base_url=f"http://{at}", trust_env=False, timeout=30)
        options = (f"--storage.tsdb.path={folder}/data", f"--web.listen-address={at}", "--log.level=warn")
        with (folder / "log").open("w") as log:
            command = [*inside, "prometheus", f"--config.file={folder}/prometheus.yaml", *options]
            environ = os.environ | {"NO_PROXY": "*"}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environ)
        eventually(self._is_ready, said=(folder / "log").read_text)

    def stop(self) -> None:
        self._http.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def scrape(self, targets: Iterable[Target]) -> None:
        """These from now on, and no others."""
        groups = [{"targets": [f"127.0.0.1:{each.port}"], "labels": dict(each.labels)} for each in targets]
        new = self._folder / "targets.json.new"
        new.write_text(json.dumps(groups))
        new.rename(self._folder / "targets.json")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        found: list[dict[str, Any]] = self._ask("/api/v1/query", query=expression)["result"]
        return found

    def history(self, expression: str, seconds: float) -> list[dict[str, Any]]:
        """The series that an expression had in the last seconds; the times in `values` are seconds since then."""
        end = time.time()
        asked = {"query": expression, "start": f"{end - seconds}", "end": f"{end}", "step": f"{seconds / 300}"}
        found: list[dict[str, Any]] = self._ask("/api/v1/query_range", **asked)["result"]
        for series in found:
            series["values"] = [(at - end + seconds, value) for at, value in series["values"]]
        return found

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {
            each["labels"]["alertname"] for each in self._ask("/api/v1/alerts")["alerts"] if each["state"] == "firing"
        }

    def _ask(self, path: str, **parameters: str) -> Any:
        said = self._http.get(path, params=parameters).json()
        assert said["status"] == "success", said
        return said["data"]

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


def shortened(rules: str) -> str:
    """The rules with ranges of seconds, which fire after a second."""
    for window, short in WINDOWS.items():
        rules = rules.replace(f"[{window}]", f"[{short}]")
    assert not re.search(r"\[\d+[mh]\]", rules), "a range that WINDOWS does not know"
    return re.sub(r"\bfor: \w+", "for: 1s", rules)


def version() -> str:
    """Of the Prometheus that `Prometheus` runs.

    Raises:
        UnavailableError: it cannot be installed here.
    """
    packages.require(packages.PROMETHEUS)
    said = subprocess.run(["prometheus", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+\.\d+\.\d+)", said.stdout + said.stderr)
    assert found, said
    return found[1]


def _config(folder: Path, jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    watched = {"files": [f"{folder}/targets.json"], "refresh_interval": "1s"}
    return {
        "global": {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE, "scrape_timeout": SCRAPE},
        "rule_files": [f"{folder}/rules.yaml"],
        "scrape_configs": [{"job_name": "fastchat", "honor_labels": True, "file_sd_configs": [watched]}, *jobs],
    }
