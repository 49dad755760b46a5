"""What CI takes from a machine before it runs the tests: dpkg itself, on a system of its own in an empty folder."""

import os
import shutil
import subprocess

import pytest
from cluster.tools import packages

PACKAGES = {"wanted": "", "dependent": "Depends: wanted\n", "neighbour": ""}


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Three installed packages, one of which depends on `wanted`; a function that names those that are installed."""
    if os.geteuid() or not shutil.which("dpkg"):
        pytest.skip("only root installs packages, and dpkg only Debian's")
    monkeypatch.setenv("DPKG_ROOT", str(tmp_path / "root"))
    for folder in ("updates", "info"):
        (tmp_path / "root/var/lib/dpkg" / folder).mkdir(parents=True)
    (tmp_path / "root/var/lib/dpkg/status").touch()
    for name, depends in PACKAGES.items():
        control = tmp_path / name / "DEBIAN/control"
        control.parent.mkdir(parents=True)
        about = "Version: 1\nArchitecture: all\nMaintainer: nobody\nDescription: nothing\n"
        control.write_text(f"Package: {name}\n{about}{depends}")
        subprocess.run(["dpkg-deb", "--build", str(tmp_path / name)], check=True, capture_output=True)
        subprocess.run(["dpkg", "--install", f"{tmp_path / name}.deb"], check=True, capture_output=True)

    def installed() -> set[str]:
        shown = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n"]
        listed = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
        return {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}

    return installed


def test_what_is_named_is_removed_and_nothing_else_whatever_depends_on_it(system):
    assert system() == {"wanted", "dependent", "neighbour"}
    assert packages.remove(["wanted", "never-there"]) == ["wanted"]
    assert system() == {"dependent", "neighbour"}


def test_what_is_not_there_is_not_removed(system):
    assert packages.remove(["never-there"]) == []
    assert system() == {"wanted", "dependent", "neighbour"}
