"""Where the API server is and what it knows us by: as a pod knows it, or by a kubeconfig."""

import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastchat._kube.credentials import Certificate, Credentials, Static, TokenFile
from fastchat._kube.errors import CredentialsError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True)
class Access:
    """A cluster, and somebody whom it knows."""

    server: str
    """Scheme, host and perhaps a port and a path, without a slash at the end."""
    credentials: Credentials = field(default_factory=Static)
    namespace: str = _DEFAULT_NAMESPACE
    """What is meant where none is said."""
    authority: bytes | None = None
    """Who vouches for the API server, as PEM; None: whom this machine trusts."""
    verify: bool = True
    server_name: str | None = None
    """Name in its certificate, where that is not the host of `server`."""
    proxy: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Of every request, beside `Authorization`."""

    def tls(self) -> ssl.SSLContext:
        """How to connect; raises CredentialsError, and may take its time."""
        try:
            context = ssl.create_default_context(cadata=self.authority.decode() if self.authority else None)
            # Authorities of older clusters lack what RFC 5280 asks for; kubectl takes them, too.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if not self.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if certificate := self.credentials.certificate():
                _load(context, certificate)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise CredentialsError(f"the certificates for {self.server} cannot be used: {error}") from error
        return context


def _load(context: ssl.SSLContext, shown: Certificate) -> None:
    """OpenSSL takes it from files only."""
    with tempfile.TemporaryDirectory(prefix="fastchat-") as folder:  # mode 0700
        certificate, key = Path(folder, "certificate"), Path(folder, "key")
        certificate.write_bytes(shown.certificate)
        key.write_bytes(shown.key)
        context.load_cert_chain(certificate, key, password="")  # or OpenSSL would ask at the terminal


def in_cluster(environ: Mapping[str, str] = os.environ, folder: Path = ACCOUNT) -> Access | None:
    """What the pod that this is has; None: it is none. Raises CredentialsError."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (folder / "token").exists():
        return None
    try:
        authority = (folder / "ca.crt").read_bytes()
        namespace = _text(folder / "namespace")
    except OSError as error:
        raise CredentialsError(f"cannot read what the pod has of its ServiceAccount: {error}") from error
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    return Access(server, TokenFile(folder / "token"), namespace or _DEFAULT_NAMESPACE, authority)


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
