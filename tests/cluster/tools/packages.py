"""Debian's packages that the tests need besides the tools built here; nothing else is to be on a machine beforehand.

`python -m cluster.tools.packages remove` takes them all away again, so that CI proves that the tests bring them
themselves.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from cluster.tools.binaries import UnavailableError, cache, locked, say

# What is looked for, and the package that has it.
CERTIFICATES = {"openssl": "openssl"}
NETWORK = {"ip": "iproute2"}
CLUSTER = {
    **CERTIFICATES,
    **NETWORK,
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "nft": "nftables",
    "sysctl": "procps",
    "docker-registry": "docker-registry",
}
IMAGES = {"buildah": "buildah", "debootstrap": "debootstrap"}
CONTAINERS = {"runc": "runc"}
REGISTRY = {"docker-registry": "docker-registry"}
CURL = {"curl": "curl"}
PROMETHEUS = {"prometheus": "prometheus"}
LUA = {"lua5.4": "lua5.4"}

COMPILER = {
    "cc": "gcc",
    "c++": "g++",
    "/usr/include/stdio.h": "libc6-dev",
    f"{sysconfig.get_path('include')}/Python.h": "python3-dev",
}

CLANG = Path("/usr/lib/llvm-19/bin/clang")
CILIUM = {
    str(CLANG): "clang-19",
    "iptables": "iptables",
}

PROXIES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
}

BROWSER = {"chromium": "chromium"}

BASE = ("apt", "git", "make")
"""Packages that are there before a checkout is, beside those without which Debian is none: the essential ones."""


def every() -> dict[str, str]:
    """All that is looked for, and its packages."""
    groups = [value for name, value in globals().items() if re.fullmatch("[A-Z]+", name) and isinstance(value, dict)]
    return {program: package for group in groups for program, package in group.items()}


def require(wanted: dict[str, str]) -> None:
    """Install what is missing, as root on Debian.

    Raises:
        UnavailableError: elsewhere, with the names of the missing packages, or with what apt-get said.
    """
    if not _missing(wanted):
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise UnavailableError(f"missing here: {_list(_missing(wanted))}; install them, or be root on Debian")
    with locked(cache() / "packages.lock"):  # against other test runs; apt itself waits for those who use it by hand
        if missing := _missing(wanted):
            _install(missing)
    if _missing(wanted):
        looked_for = _list(program for program in wanted if not _here(program))
        raise UnavailableError(f"{_list(_missing(wanted))} is installed, and {looked_for} is not there")


def require_named(script: str) -> None:
    """Install what a script of shell names of all this.

    Raises:
        UnavailableError: as `require`.
    """
    words = set(re.findall(r"[\w./+-]+", script))
    require({program: package for program, package in every().items() if program in words})


def remove(packages: Iterable[str]) -> list[str]:
    """Remove exactly those of the packages that are there, whatever else depends on them; which ones they were."""
    listed = _run(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n"])
    listed.check_returncode()
    installed = {line.split()[0] for line in listed.stdout.splitlines() if line.endswith(" installed")}
    if found := sorted(installed & set(packages)):
        _run(["dpkg", "--remove", "--force-depends", *found]).check_returncode()
    return found


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def _missing(wanted: dict[str, str]) -> set[str]:
    """Their packages."""
    return {package for program, package in wanted.items() if not _here(program)}


def _here(program: str) -> bool:
    return bool(shutil.which(program)) or Path(program).is_file()


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _install(packages: Iterable[str]) -> None:
    """Nothing is removed for it."""
    say(f"installing {_list(packages)}")
    install = ["install", "--yes", "--quiet", "--no-install-recommends", "--no-remove"]
    _apt("update", "--quiet")
    _apt(*install, "--fix-broken")  # what others miss since `remove`: apt installs nothing beside a broken package
    _apt(*install, *sorted(packages))


def _apt(*arguments: str) -> None:
    command = ["apt-get", "--option=DPkg::Lock::Timeout=600", *arguments]
    if (done := _run(command)).returncode:
        raise UnavailableError(f"{' '.join(command)} failed: {done.stderr.strip()[-1000:]}")


def _main() -> None:
    if sys.argv[1:] != ["remove"]:
        sys.exit("usage: python -m cluster.tools.packages remove")
    if os.geteuid() or not shutil.which("dpkg"):
        say("nothing removed: that takes root on Debian")
    else:
        say(f"removed, for the tests to install them: {_list(remove(every().values())) or 'nothing, none was there'}")


if __name__ == "__main__":
    _main()
