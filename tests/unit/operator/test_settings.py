"""The settings file and what is said about a wrong one."""

import socket

import pytest

from fastchat_operator.__main__ import main
from fastchat_operator.settings import RESERVED_IN_GATEWAYS, RESERVED_IN_WORKERS, Settings, SettingsError


@pytest.fixture
def load(tmp_path):
    def write_and_load(text):
        file = tmp_path / "operator.yaml"
        file.write_text(text)
        return Settings.load(file)

    return write_and_load


def test_a_file_that_says_nothing_leaves_the_defaults(load):
    assert load("") == load("{}") == Settings()


def test_what_the_file_says_counts(load):
    settings = load("namespaces: [a, b]\nleaderElection: {name: fastchat}\nresyncSeconds: 5\n")
    assert settings.namespaces == ["a", "b"]
    assert (settings.leader_election.name, settings.leader_election.lease_seconds) == ("fastchat", 15)
    assert settings.resync_seconds == 5


WRONG = {
    "resync_seconds: 5": "resync_seconds: Extra inputs are not permitted",
    "gateway: {replicas: 0}": "gateway.replicas: Input should be greater than or equal to 1",
    "gateway: {replicas: '2'}": "gateway.replicas: Input should be a valid integer",
    "images: {pullPolicy: Sometimes}": "images.pullPolicy: Input should be 'Always', 'IfNotPresent' or 'Never'",
    "worker: {resources: {limits: {memory: 16 GB}}}": "worker.resources.limits.memory: is not a quantity",
    "namespaces: [Team]": "namespaces.0: String should match pattern",
    "leaderElection: {leaseSeconds: 9, renewSeconds: 5}": "renewSeconds must be at most half of leaseSeconds",
    "gateway: {env: [{value: x}]}": "gateway.env.0.name: Field required",
    "gateway: {env: [{name: 1A}]}": "gateway.env.0.name: String should match pattern",
    "worker: {env: [{name: A, value: 1}]}": "worker.env.0.value: Input should be a valid string",
    "worker: {env: [{name: A, value: x, valueFrom: {}}]}": "worker.env.0: give value or valueFrom, not both",
    "worker: {env: [{name: A}, {name: A}]}": "worker.env: 'A' is given twice",
    "- a": "Input should be a valid dictionary",
    "a: [": "is not YAML",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_a_wrong_file_is_named_with_the_field_at_fault(load, text, message):
    with pytest.raises(SettingsError) as error:
        load(text)
    assert message in str(error.value)
    assert "operator.yaml" in str(error.value)


RESERVED = [("gateway", each) for each in RESERVED_IN_GATEWAYS] + [("worker", each) for each in RESERVED_IN_WORKERS]


@pytest.mark.parametrize(("part", "name"), sorted(RESERVED))
def test_a_variable_that_fastchat_sets_itself_ends_the_operator_with_one_line(tmp_path, part, name):
    file = tmp_path / "operator.yaml"
    file.write_text(f"{part}: {{env: [{{name: MINE, value: x}}, {{name: {name}, value: x}}]}}")
    with pytest.raises(SystemExit) as stop:
        main(["--config", str(file)])
    problem = f"{part}.env.1: {name} is set by FastChat itself: leave it out"
    assert str(stop.value) == f"fastchat_operator: {file}: {problem}"


def test_every_wrong_field_is_named_at_once(load):
    with pytest.raises(SettingsError) as error:
        load("gateway: {replicas: 0}\nresyncSeconds: 0\n")
    assert "gateway.replicas" in str(error.value)
    assert "resyncSeconds" in str(error.value)


def test_an_operator_whose_settings_cannot_be_read_ends_with_one_line(tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["--config", str(tmp_path / "missing.yaml")])
    assert str(stop.value) == f"fastchat_operator: cannot read {tmp_path / 'missing.yaml'}: no such file or directory"


def test_an_operator_whose_port_is_taken_ends_with_one_line():
    with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(SystemExit, match="address already in use"):
        main(["--health-port", str(taken.getsockname()[1])])
