"""`fastchat verify`: our own server passes, and whatever is wrong with another one is found."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp
from support.workers import WorkerProcess

from fastchat.cli.main import main

from .conftest import Run
from .wrong_server import FAULTS, WrongServer

Serve = Callable[[ASGIApp], str]


def test_our_gateway_and_worker_pass_and_are_told_in_a_table(run: Run, served: str) -> None:
    done = run("verify", served)
    results = {line[:16].strip(): line[18:].split()[0] for line in done.out.splitlines()[1:]}
    skipped = {name for name, result in results.items() if result == "skipped"}
    assert (done.code, skipped, set(results.values())) == (
        0,
        {"wrong key", "embeddings", "drain"},
        {"ok", "skipped"},
    ), done.out
    assert done.err == "all 13 checks passed\n"


def found(serve: Serve, capsys: pytest.CaptureFixture[str], fault: str | None) -> tuple[int, set[str]]:
    """Exit code of `fastchat verify --json`, and which checks failed."""
    code = main(["verify", serve(WrongServer(fault).app), "--json", "--timeout", "20"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    return code, {check["check"] for check in checks if check["result"] == "failed"}


def test_a_server_that_is_right_passes(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(serve, capsys, None) == (0, set())


@pytest.mark.parametrize(("fault", "check"), FAULTS.items())
def test_what_is_wrong_is_found(serve: Serve, capsys: pytest.CaptureFixture[str], fault: str, check: str) -> None:
    code, failed = found(serve, capsys, fault)
    assert code == 1
    assert check in failed


def test_a_server_that_is_told_to_end_completes_what_it_began(run: Run, tmp_path: Path, small: Path) -> None:
    worker = WorkerProcess(tmp_path, "--model-name=small", f"--model-path={small}", "--max-model-len=512").wait_ready()
    try:
        done = run("verify", worker.url, "--drain", str(worker.process.pid), "--json")
        results = {check["check"]: check["detail"] for check in done.json["checks"] if check["result"] == "ok"}
        assert done.code == 0, done
        assert "came after SIGTERM" in results["drain"]
    finally:
        worker.stop()
