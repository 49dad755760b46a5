"""What `make release` leaves in dist/, of images that the tests have built."""

import json
import re
import subprocess
import tarfile

import pytest
import yaml
from cluster.images import builder
from cluster.skips import or_skip

from .conftest import buildah

PARTS = ("operator", "gateway")


@pytest.fixture(scope="module")
def release():
    """images/release.py, which no package has."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("release", builder.ROOT / "images/release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def save(reference, name, archive):
    buildah("push", "--quiet", reference, f"oci-archive:{archive}:{name}")
    return "oci-archive"


@pytest.fixture(scope="module")
def dist(build, release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    with or_skip():
        release.release(folder, build(*PARTS), save)
    return folder


def version() -> str:
    return re.search(r'^version = "(.*)"', (builder.ROOT / "pyproject.toml").read_text(), re.M)[1]


def test_a_release_is_chart_images_bills_of_materials_and_checksums_that_hold(dist):
    kinds = [f"fastchat-{part}-{version()}.{kind}" for part in PARTS for kind in ("cdx.json", "tar")]
    assert {file.name for file in dist.iterdir()} == {*kinds, f"fastchat-{version()}.tgz", "SHA256SUMS"}
    check = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dist, capture_output=True, text=True)
    assert check.returncode == 0, check.stderr
    assert check.stdout.count(": OK") == len(kinds) + 1


@pytest.mark.parametrize(("part", "package"), [("operator", "kopf"), ("gateway", "httptools")])
def test_a_bill_of_materials_names_what_was_locked_and_what_debian_brought(dist, part, package):
    bill = json.loads((dist / f"fastchat-{part}-{version()}.cdx.json").read_text())
    found = {component["name"]: component["version"] for component in bill["components"] if "version" in component}
    locked = re.search(rf"^{package}==(\S+)", (builder.ROOT / f"requirements/{part}.lock").read_text(), re.M)[1]
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", f"fastchat-{part}")
    assert found[package] == locked
    assert found["fastchat-k8s"] == version()
    assert "base-files" in found


def test_the_chart_has_the_projects_version_and_the_same_bytes_each_time(dist, release, tmp_path):
    packaged = dist / f"fastchat-{version()}.tgz"
    with tarfile.open(packaged) as chart:
        about = yaml.safe_load(chart.extractfile("fastchat/Chart.yaml"))
    assert (about["version"], about["appVersion"]) == (version(), version())
    assert release.chart(tmp_path, version()).read_bytes() == packaged.read_bytes()


DOCKERFILES = [builder.ROOT / file for file in builder.DOCKERFILES.values()]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=builder.DOCKERFILES)
def test_an_image_is_built_on_one_base_by_digest_and_with_tools_by_hash(dockerfile):
    text = dockerfile.read_text()
    bases = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.M))
    assert bases.items() <= {name: builder.official(name) for name in ("BASE_IMAGE", "BUILD_IMAGE")}.items()
    assert all(re.search(r":3\.12\.14-\S*@sha256:[0-9a-f]{64}$", base) for base in bases.values())
    assert set(re.findall(r"^FROM (\S+)", text, re.M)) == {f"${{{name}}}" for name in bases}
    for install in re.findall(r"pip install .*?(?=&&|\n[A-Z#]|\Z)", text, re.S):
        assert re.search(r"--require-hashes|--no-deps.* /build|MODELS|--constraint", install, re.S), install
