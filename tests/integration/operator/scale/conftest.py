"""Addresses for gateways and workers, which an operator reaches as it reaches pods."""

import os

import pytest
from cluster.skips import or_skip
from cluster.tools import packages
from integration.operator.pods import network


@pytest.fixture(scope="module")
def addresses():
    if os.geteuid():
        pytest.skip("pods need addresses of their own, which root adds with `ip`")
    with or_skip():
        packages.require(packages.NETWORK)
    yield from network()
