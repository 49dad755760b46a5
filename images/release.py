"""`make release`: chart, images as archives, a bill of materials of each, and checksums, all in dist/.

The images are there already, tagged by `make images`; a bill of materials (CycloneDX) lists what is in one, Debian's
packages and Python's, with versions and licences.
"""

import argparse
import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cluster.tools.binaries import say, tools  # noqa: E402

Save = Callable[[str, str, Path], str]
"""Writes an image to a file, by its reference and the name it is to have in there; what kind of archive that is."""


def release(dist: Path, references: Mapping[str, str], save: Save) -> None:
    """Fill an empty folder with what a release is made of.

    Args:
        references: part (operator, gateway, worker) → reference of its image
    """
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    say(f"chart {version}")
    chart(dist, version)
    for part, reference in references.items():
        say(f"{part}: archive and bill of materials")
        archive = dist / f"fastchat-{part}-{version}.tar"
        kind = save(reference, f"fastchat-{part}:{version}", archive)
        materials(f"{kind}:{archive}", f"fastchat-{part}", version, archive.with_suffix(".cdx.json"))
    files = sorted(dist.iterdir())
    (dist / "SHA256SUMS").write_text("".join(f"{_digest(file)}  {file.name}\n" for file in files))


def chart(dist: Path, version: str) -> Path:
    """Package of the chart with the project's version; the same commit gives the same bytes."""
    package = dist / f"fastchat-{version}.tgz"
    with tempfile.TemporaryDirectory() as folder:
        command = [str(tools("helm")["helm"]), "package", str(ROOT / "charts/fastchat"), f"--destination={folder}"]
        _run([*command, f"--version={version}", f"--app-version={version}"])
        _settle(Path(folder) / package.name, package)
    return package


def materials(source: str, name: str, version: str, file: Path) -> None:
    """Write the bill of materials of an archive."""
    scan = [str(tools("syft")["syft"]), "scan", source, f"--source-name={name}", f"--source-version={version}"]
    _run([*scan, "--quiet", f"--output=cyclonedx-json={file}"])


def saved_by(builder: str) -> Save:
    """How docker, podman or buildah writes an image to a file."""

    def save(reference: str, name: str, archive: Path) -> str:
        _run([builder, "tag", reference, name])
        match builder:
            case "docker":
                _run(["docker", "save", f"--output={archive}", name])
                return "docker-archive"
            case "podman":
                _run(["podman", "save", "--quiet", "--format=oci-archive", f"--output={archive}", name])
            case _:
                _run(["buildah", "push", "--quiet", name, f"oci-archive:{archive}:{name}"])
        return "oci-archive"

    return save


def _settle(package: Path, settled: Path) -> None:
    """Copy a .tgz with the time of the commit in place of the present one, which Helm writes."""
    now = int(_run(["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]))
    with (
        tarfile.open(package) as source,
        settled.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=now) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in sorted(source, key=lambda member: member.name):
            member.mtime = now
            target.addfile(member, source.extractfile(member))


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _run(command: Sequence[str]) -> str:
    """Output of a command; RuntimeError with what it complained of."""
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  # our own
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--builder", choices=["docker", "podman", "buildah"], required=True, help="who has the images")
    parser.add_argument("parts", nargs="+", choices=["operator", "gateway", "worker"])
    given = parser.parse_args()
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    release(dist, {part: f"fastchat-{part}:dev" for part in given.parts}, saved_by(given.builder))
    say(f"{dist}: {', '.join(sorted(file.name for file in dist.iterdir()))}")


if __name__ == "__main__":
    main()
