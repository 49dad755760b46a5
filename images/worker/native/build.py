#!/usr/bin/env python3
"""Compiles the native executor: build.py OUTPUT. Where OUTPUT is newer than the sources there is nothing to do.

Each file of kernels is compiled for its own instruction set and no other; which one runs is decided where it runs.
Exit code 77 where nothing can be built: there is no C++ compiler, or one of another system than Linux refuses this.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).parent
COMMON = [f"-I{SOURCES}", "-std=c++20", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=fast", "-pthread"]
COMMON += ["-Wall", "-Wno-psabi"]
LINK = ["-Wl,--no-undefined", "-static-libstdc++", "-static-libgcc"] if sys.platform == "linux" else []
_AVX2 = ("avx2", "fma", "f16c")
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "prefer-vector-width=512")
_AMX = (*_AVX512, "avx512bf16", "amx-tile", "amx-bf16")
KERNELS = {
    name: [f"-m{flag}" for flag in flags] for name, flags in {"avx2": _AVX2, "avx512": _AVX512, "amx": _AMX}.items()
}
"""Files that are for x86 only, and their flags."""


def main(output: Path) -> int:
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        print("no C++ compiler here: the worker will run models through torch", file=sys.stderr)
        return 77
    if output.exists() and output.stat().st_mtime > max(file.stat().st_mtime for file in SOURCES.rglob("*.*")):
        return 0
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        library = Path(folder) / output.name
        try:
            build(compiler, Path(folder), library)
        except subprocess.CalledProcessError:
            print("the native executor does not compile here", file=sys.stderr)
            return 1 if sys.platform == "linux" else 77
        library.replace(output)  # whole or not at all: a worker may load it meanwhile
    return 0


def build(compiler: str, folder: Path, library: Path) -> None:
    """Raises: CalledProcessError where something does not compile, which the compiler has explained."""
    x86 = platform.machine() in ("x86_64", "AMD64")
    files = [file for file in sorted(SOURCES.rglob("*.cpp")) if x86 or file.stem not in KERNELS]

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        subprocess.run([compiler, *COMMON, *KERNELS.get(source.stem, []), "-c", source, "-o", target], check=True)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, files))
    subprocess.run([compiler, "-shared", "-pthread", *LINK, *objects, "-o", library], check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
