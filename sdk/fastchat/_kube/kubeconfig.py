"""The file that says which clusters there are and who one is there, as kubectl reads it.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ . Read here and not by the package
`kubernetes` (37.0), which of several files takes the last one's current context where kubectl takes the first one's,
puts the end of a token's line into a header, and goes on without credentials where a program fails to give any.
"""

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fastchat._kube.access import Access
from fastchat._kube.credentials import Certificate, Credentials, Static, TokenFile, basic, bearer
from fastchat._kube.errors import CredentialsError
from fastchat._kube.exec_plugin import ExecCredentials, Plugin, located


class _Part(BaseModel):
    """What is not named here is not needed here."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _File(_Part):
    current: str | None = Field(None, alias="current-context")
    clusters: list[dict[str, Any]] | None = None
    users: list[dict[str, Any]] | None = None
    contexts: list[dict[str, Any]] | None = None


class _Context(_Part):
    cluster: str
    user: str | None = None
    namespace: str | None = None


class _Cluster(_Part):
    server: str
    authority: str | None = Field(None, alias="certificate-authority")
    authority_data: str | None = Field(None, alias="certificate-authority-data")
    insecure: bool = Field(False, alias="insecure-skip-tls-verify")
    server_name: str | None = Field(None, alias="tls-server-name")
    proxy: str | None = Field(None, alias="proxy-url")


class _Variable(_Part):
    name: str
    value: str


class _Exec(_Part):
    command: str
    arguments: list[str] | None = Field(None, alias="args")
    environment: list[_Variable] | None = Field(None, alias="env")
    api_version: str = Field(alias="apiVersion")
    hint: str | None = Field(None, alias="installHint")
    interactive: str | None = Field(None, alias="interactiveMode")
    told_of_cluster: bool = Field(False, alias="provideClusterInfo")


class _User(_Part):
    certificate: str | None = Field(None, alias="client-certificate")
    certificate_data: str | None = Field(None, alias="client-certificate-data")
    key: str | None = Field(None, alias="client-key")
    key_data: str | None = Field(None, alias="client-key-data")
    token: str | None = None
    token_file: str | None = Field(None, alias="tokenFile")
    username: str | None = None
    password: str | None = None
    plugin: _Exec | None = Field(None, alias="exec")
    provider: dict[str, Any] | None = Field(None, alias="auth-provider")
    acts_as: str | None = Field(None, alias="as")
    acts_as_uid: str | None = Field(None, alias="as-uid")
    acts_as_groups: list[str] | None = Field(None, alias="as-groups")
    acts_as_extra: dict[str, list[str]] | None = Field(None, alias="as-user-extra")


_P = TypeVar("_P", bound=_Part)


@dataclass(frozen=True)
class _Source:
    """A file, and the folder to which what it names is relative."""

    path: Path
    said: _File

    def find(self, noun: str, name: str) -> Any:
        """What it says under this name; None: nothing."""
        entries = {"context": self.said.contexts, "cluster": self.said.clusters, "user": self.said.users}[noun]
        return next((each.get(noun) or {} for each in entries or () if each.get("name") == name), None)

    def bytes(self, data: str | None, file: str | None) -> bytes | None:
        """What the file has inline, in base64, or names another file for."""
        try:
            if data:
                return base64.b64decode(data, validate=True)
            return (self.path.absolute().parent / file).read_bytes() if file else None
        except (OSError, binascii.Error) as error:
            raise CredentialsError(f"{self.path}: a certificate or key cannot be read: {error}") from error


def paths(kubeconfig: str | None = None, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The files that count: what is named, else those of KUBECONFIG that exist, else the one in the home folder."""
    if kubeconfig:
        return [Path(kubeconfig).expanduser()]
    text = environ.get("KUBECONFIG") or str(Path("~", ".kube", "config"))
    return [path for each in text.split(os.pathsep) if each and (path := Path(each).expanduser()).exists()]


def load(files: Sequence[Path], context: str | None = None) -> Access:
    """What a context says, by default the current one; of several files the first one to say something counts.

    Raises CredentialsError; may take its time.
    """
    sources = [_Source(file, _read(file)) for file in files]
    name = context or next((each.said.current for each in sources if each.said.current), None)
    if not name:
        raise CredentialsError(f"{os.pathsep.join(map(str, files))}: there is no current context")
    chosen, _ = _find(sources, "context", name, _Context)
    cluster, source = _find(sources, "cluster", chosen.cluster, _Cluster)
    user, users_source = _find(sources, "user", chosen.user, _User) if chosen.user else (_User(), source)
    authority = source.bytes(cluster.authority_data, cluster.authority)
    return Access(
        server=cluster.server.rstrip("/"),
        credentials=_credentials(user, users_source, cluster, authority),
        namespace=chosen.namespace or "default",
        authority=authority,
        verify=not cluster.insecure,
        server_name=cluster.server_name,
        proxy=cluster.proxy,
        headers=_impersonation(user),
    )


def _read(file: Path) -> _File:
    try:
        return _validated(_File, yaml.safe_load(file.read_text()) or {}, str(file))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CredentialsError(f"cannot read {file}: {error}") from error


def _find(sources: Sequence[_Source], noun: str, name: str, kind: type[_P]) -> tuple[_P, _Source]:
    for source in sources:
        said = source.find(noun, name)
        if said is not None:
            return _validated(kind, said, f"{source.path}: the {noun} {name!r}"), source
    raise CredentialsError(f"{os.pathsep.join(str(each.path) for each in sources)}: there is no {noun} {name!r}")


def _validated(kind: type[_P], said: Any, what: str) -> _P:
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise CredentialsError(f"{what} cannot be used: {place}{': ' if place else ''}{wrong['msg']}") from None


def _credentials(user: _User, source: _Source, cluster: _Cluster, authority: bytes | None) -> Credentials:
    """A token of one kind or the other goes before a program, and that before a password."""
    shown = _certificate(user, source)
    if user.token_file:
        return TokenFile(source.path.absolute().parent / user.token_file, shown)
    if user.token:
        return Static(bearer(user.token), shown)
    if user.plugin:
        return ExecCredentials(_plugin(user.plugin, source, cluster, authority))
    if user.provider:
        raise CredentialsError(
            f"{source.path}: auth-provider is not supported: let a program give the credentials (exec), "
            "such as kubelogin for OpenID Connect"
        )
    return Static(basic(user.username, user.password) if user.username and user.password else None, shown)


def _certificate(user: _User, source: _Source) -> Certificate | None:
    certificate = source.bytes(user.certificate_data, user.certificate)
    key = source.bytes(user.key_data, user.key)
    return Certificate(certificate, key) if certificate and key else None


def _plugin(said: _Exec, source: _Source, cluster: _Cluster, authority: bytes | None) -> Plugin:
    told = {
        "server": cluster.server,
        "tls-server-name": cluster.server_name,
        "insecure-skip-tls-verify": cluster.insecure,
        "certificate-authority-data": base64.b64encode(authority).decode() if authority else None,
        "proxy-url": cluster.proxy,
    }
    return Plugin(
        command=[located(said.command, source.path.absolute().parent), *(said.arguments or ())],
        api_version=said.api_version,
        environment={each.name: each.value for each in said.environment or ()},
        cluster={name: value for name, value in told.items() if value} if said.told_of_cluster else None,
        hint=said.hint or "",
        interactive=said.interactive != "Never",
    )


def _impersonation(user: _User) -> tuple[tuple[str, str], ...]:
    """Headers by which whoever may do so acts as somebody else.

    https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
    """
    if user.acts_as_extra:
        raise CredentialsError("as-user-extra of a kubeconfig is not supported")
    named = [("Impersonate-User", user.acts_as), ("Impersonate-Uid", user.acts_as_uid)]
    named += [("Impersonate-Group", each) for each in user.acts_as_groups or ()]
    return tuple((name, value) for name, value in named if value)
