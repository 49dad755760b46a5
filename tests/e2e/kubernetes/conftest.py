"""The product on a real cluster: our images, `helm install`, `kubectl apply`, calls from pods."""

from collections.abc import Callable, Iterator
from secrets import token_hex

import pytest
from cluster.client import Cluster
from cluster.tools import binaries
from product.namespace import Namespace
from product.release import Release


@pytest.fixture(scope="session")
def release(cluster: Cluster) -> Release:
    """The product, installed."""
    release = Release(cluster, binaries.tools("helm")["helm"])
    release.install("operator.replicas=2")
    return release


@pytest.fixture(scope="module")
def make_namespace(cluster: Cluster, release: Release) -> Iterator[Callable[[str], Namespace]]:
    """Makes namespaces with a client pod, which go at the end of the file."""
    made: list[Namespace] = []

    def make(name: str) -> Namespace:
        made.append(Namespace(cluster, f"{name}-{token_hex(2)}"))  # one of an earlier run may still be going
        made[-1].client()
        return made[-1]

    yield make
    for namespace in made:
        namespace.delete()
