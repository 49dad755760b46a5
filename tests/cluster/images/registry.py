"""A container image of one program, put into a registry: what a cluster needs to run its first pod."""

import hashlib
import io
import json
import platform
import tarfile
import urllib.request
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_http = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def push(program: Path, registry: str, repository: str, tag: str) -> None:
    """Push an image whose entry point is a statically linked program, unless the tag is there.

    Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#push
    """
    url = f"http://{registry}/v2/{repository}"
    if _is_there(f"{url}/manifests/{tag}"):
        return
    layer = _layer(program)
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _blob(url, CONFIG, json.dumps(config).encode()),
        "layers": [_blob(url, LAYER, layer)],
    }
    _put(f"{url}/manifests/{tag}", MANIFEST, json.dumps(manifest).encode())


def answers(registry: str) -> bool:
    """Whether the registry is up."""
    return _is_there(f"http://{registry}/v2/")


def _layer(program: Path) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        entry = tarfile.TarInfo(program.name)
        entry.mode, entry.size = 0o755, program.stat().st_size
        with program.open("rb") as content:
            archive.addfile(entry, content)
    return layer.getvalue()


def _blob(url: str, media_type: str, content: bytes) -> dict[str, object]:
    """Upload a blob; its descriptor."""
    start = urllib.request.Request(f"{url}/blobs/uploads/", method="POST", data=b"")
    with _http.open(start, timeout=30) as answer:
        place = answer.headers["Location"]
    _put(f"{place}{'&' if '?' in place else '?'}digest={_digest(content)}", "application/octet-stream", content)
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _put(url: str, media_type: str, content: bytes) -> None:
    request = urllib.request.Request(url, method="PUT", data=content, headers={"Content-Type": media_type})
    with _http.open(request, timeout=30):
        pass


def _is_there(url: str) -> bool:
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": MANIFEST})
    try:
        with _http.open(request, timeout=30):
            return True
    except OSError:
        return False


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
