"""The operator as a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from cluster.control_plane.apiserver import free_ports


class Operator:
    """`python -m fastchat_operator`."""

    def __init__(self, kubeconfig: Path, folder: Path, environ: dict[str, str], **settings: Any) -> None:
        config = folder / "operator.yaml"
        config.write_text(yaml.safe_dump(settings))
        self.log = folder / "log"
        self.health_port = free_ports(1)[0]
        command = [sys.executable, "-m", "fastchat_operator", f"--config={config}", f"--health-port={self.health_port}"]
        with self.log.open("wb") as log:
            known = os.environ | {"KUBECONFIG": str(kubeconfig)} | environ
            self.process = subprocess.Popen(command, env=known, stdout=log, stderr=log)

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None
