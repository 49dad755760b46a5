"""Debian's packages that the tests need besides the tools built here."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from cluster.binaries import UnavailableError, say

# What is looked for, and the package that has it.
CLUSTER = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "nft": "nftables",
    "ip": "iproute2",
    "openssl": "openssl",
    "docker-registry": "docker-registry",
}

COMPILER = {
    "cc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
    f"{sysconfig.get_path('include')}/Python.h": "python3-dev",
}

CLANG = Path("/usr/lib/llvm-19/bin/clang")
CILIUM = {
    str(CLANG): "clang-19",
    "iptables": "iptables",
}


def require(wanted: dict[str, str]) -> None:
    """Install what is missing, as root on Debian.

    Raises:
        UnavailableError: elsewhere, with the names of the missing packages.
    """
    missing = sorted(
        {package for program, package in wanted.items() if not (shutil.which(program) or Path(program).is_file())}
    )
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise UnavailableError(f"missing here: {', '.join(missing)}; install them, or be root on Debian")
    say(f"installing {', '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _apt(["update", "--quiet"], environment)
    _apt(["install", "--yes", "--quiet", "--no-install-recommends", *missing], environment)


def _apt(arguments: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(f"apt-get {' '.join(arguments)} failed: {done.stderr.strip()[-1000:]}")
