"""Certificates and kubeconfigs: who may speak to the API server, and as whom."""

import base64
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.tools import packages

ADMIN_GROUP = "system:masters"


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder of its own.

    Attributes:
        certificate: what servers and clients check the other side's certificate against.
        service_accounts: what service account tokens are signed and checked with.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UnavailableError where openssl is neither there nor to be installed."""
        packages.require(packages.CERTIFICATES)
        folder.mkdir(parents=True)
        self._folder = folder
        self._own = _make_pair(folder, "ca", "/CN=fastchat-test", ["basicConstraints=critical,CA:TRUE"])
        self.certificate = self._own.certificate
        self.service_accounts = _make_pair(folder, "service-accounts", "/CN=service-accounts", [])

    def server(self, name: str, hosts: Sequence[str], addresses: Sequence[str]) -> Pair:
        """Certificate of a server that is called by these host names and addresses."""
        names = ",".join([f"DNS:{host}" for host in hosts] + [f"IP:{address}" for address in addresses])
        extensions = ["extendedKeyUsage=serverAuth", f"subjectAltName={names}"]
        return _make_pair(self._folder, name, f"/CN={name}", extensions, self._own)

    def client(self, user: str, groups: Sequence[str] = ()) -> Pair:
        """Certificate that the API server takes for this user."""
        subject = f"/CN={user}" + "".join(f"/O={group}" for group in groups)
        return _make_pair(self._folder, user.replace(":", "-"), subject, ["extendedKeyUsage=clientAuth"], self._own)

    def kubeconfig(self, url: str, user: str, groups: Sequence[str] = ()) -> str:
        """Text of a kubeconfig for this user, with all that it needs inside."""
        pair = self.client(user, groups)
        credentials = {"client-certificate-data": _encoded(pair.certificate), "client-key-data": _encoded(pair.key)}
        return self._kubeconfig(url, credentials)

    def token_kubeconfig(self, url: str, token: str) -> str:
        """Text of a kubeconfig for the bearer of a token."""
        return self._kubeconfig(url, {"token": token})

    def _kubeconfig(self, url: str, credentials: dict[str, str]) -> str:
        cluster = {"server": url, "certificate-authority-data": _encoded(self.certificate)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fastchat-test", "cluster": cluster}],
            "users": [{"name": "user", "user": credentials}],
            "contexts": [{"name": "fastchat-test", "context": {"cluster": "fastchat-test", "user": "user"}}],
            "current-context": "fastchat-test",
        }
        return json.dumps(content)


def write_secret(path: Path, text: str) -> None:
    """Write a file for its owner's eyes; helm complains about any other kubeconfig."""
    path.touch(mode=0o600)
    path.write_text(text)


def _make_pair(folder: Path, name: str, subject: str, extensions: Sequence[str], signer: Pair | None = None) -> Pair:
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    config = folder / f"{name}.cnf"  # of our own: the system's adds extensions that the certificate must not have twice
    sections = ["[req]", "distinguished_name=subject", "x509_extensions=extensions", "[subject]", "[extensions]"]
    config.write_text("\n".join([*sections, *extensions, ""]))
    command: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += [
        "-noenc",
        "-config",
        config,
        "-subj",
        subject,
        "-days",
        "365",
        "-out",
        pair.certificate,
        "-keyout",
        pair.key,
    ]
    command += ["-CA", signer.certificate, "-CAkey", signer.key] if signer else []
    subprocess.run(command, check=True, capture_output=True)
    return pair


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
