"""Stand-ins for gateway and worker (conftest.py), real processes and signals."""

import os
import re
import signal
import socket
import time

import httpx
import psutil
import pytest
from support.eventually import eventually


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=60)
    return not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def test_all_is_served_and_told_in_a_table_with_the_url(start_up, manifest) -> None:
    up = start_up(manifest("chat", replicas=2), manifest("other"), "--port", "0")
    url = up.until(r"Serving on (http://127\.0\.0\.1:\d+)/v1")[1]
    out = up.out.read_text()
    assert out.splitlines()[0].split() == ["MODEL", "ALIASES", "TASK", "REPLICAS", "SOURCE"]
    assert out.splitlines()[1].split() == ["chat", "chat-alias", "Generate", "2", "hf://org/name"]
    assert f"curl {url}/v1/chat/completions" in out
    names = {card["id"] for card in httpx.get(f"{url}/v1/models").json()["data"]}
    assert names == {"chat", "chat-alias", "other", "other-alias"}
    assert len(up.children("fastchat_worker")) == 3


def test_the_table_comes_when_the_slowest_model_is_loaded(start_up, manifest) -> None:
    up = start_up(manifest("quick"), manifest("slow", LOAD_SECONDS="3"), "--port", "0")
    up.until("quick is ready after")
    assert "Serving" not in up.said()
    up.until("Serving")
    assert up.err.read_text().count("slow is loading") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(number: signal.Signals, start_up, manifest) -> None:
    up = start_up(manifest("chat", replicas=2), "--port", "0")
    up.until("Serving")
    children = up.children()
    assert len(children) == 3
    up.process.send_signal(number)
    assert up.exit_code() == 0
    assert not up.left()


def test_a_signal_while_models_load_stops_everything(start_up, manifest) -> None:
    up = start_up(manifest("chat", LOAD_SECONDS="600"), "--port", "0")
    up.until("chat is loading")
    eventually(lambda: len(up.children()) == 2)
    up.process.send_signal(signal.SIGINT)
    assert up.exit_code() == 0
    assert not up.left()


def test_a_worker_that_does_not_obey_is_killed(start_up, manifest) -> None:
    up = start_up(manifest("chat", STUBBORN="1"), "--port", "0")
    up.until("Serving")
    up.children()
    up.process.send_signal(signal.SIGINT)
    assert up.exit_code() == 0
    assert not up.left()


def test_a_second_ctrl_c_kills_at_once(start_up, manifest) -> None:
    up = start_up(manifest("chat", STUBBORN="1"), "--port", "0")
    up.until("Serving")
    up.children()
    up.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    up.process.send_signal(signal.SIGINT)
    assert up.exit_code(4) == 0  # sooner than the first one alone would do it
    assert not up.left()


def test_children_are_out_of_reach_of_the_terminals_ctrl_c(start_up, manifest) -> None:
    up = start_up(manifest("chat"), "--port", "0")
    up.until("Serving")
    sessions = {os.getsid(child.pid) for child in up.children()}
    assert os.getsid(up.process.pid) not in sessions
    assert len(sessions) == 2


def test_no_child_outlives_a_killed_up(start_up, manifest) -> None:
    up = start_up(manifest("chat", replicas=2, STUBBORN="1"), "--port", "0")
    up.until("Serving")
    children = up.children()
    assert len(children) == 3
    up.process.kill()
    up.process.wait()
    assert gone(children)


@pytest.mark.parametrize("victim", ["fastchat_worker", "fastchat_gateway"])
def test_what_dies_is_started_again_with_the_same_command(victim: str, start_up, manifest) -> None:
    up = start_up(manifest("chat"), "--port", "0")
    up.until("Serving")
    (before,) = up.children(victim)
    command = before.cmdline()
    before.kill()
    label = "chat" if victim == "fastchat_worker" else "gateway"
    up.until(f"{label} was killed by SIGKILL; it starts again in 1 s")
    up.until(f"{label} is ready again")
    (after,) = up.children(victim)
    assert after.pid != before.pid
    assert after.cmdline() == command


def test_what_was_started_again_also_does_not_outlive_a_killed_up(start_up, manifest) -> None:
    up = start_up(manifest("chat"), "--port", "0")
    up.until("Serving")
    up.children("fastchat_worker")[0].kill()
    up.until("is ready again")
    children = up.children()
    up.process.kill()
    up.process.wait()
    assert gone(children)


def test_a_model_that_cannot_load_ends_it_with_the_workers_last_line(start_up, manifest) -> None:
    up = start_up(manifest("good"), manifest("broken", FAIL="no model.safetensors in /models"), "--port", "0")
    eventually(lambda: len(up.children()) == 3 or up.process.poll() is not None)
    assert up.exit_code() == 1
    assert up.err.read_text().splitlines()[-1] == "broken: no model.safetensors in /models"
    assert not up.left()
    assert up.out.read_text() == ""


def test_a_taken_port_is_told_before_anything_starts(start_up, manifest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = start_up(manifest("chat", FAIL="started"), "--port", str(port))
        assert up.exit_code() == 1
    assert up.said() == f"cannot listen on 127.0.0.1:{port}: address already in use\n"


def test_a_wrong_manifest_is_told_with_its_line(start_up, manifest, tmp_path) -> None:
    manifest("chat")
    file = tmp_path / "chat.yaml"
    file.write_text(file.read_text().replace("hf://", "ftp://"))
    up = start_up("chat.yaml")
    assert up.exit_code() == 1
    assert up.said().startswith("chat.yaml:6: spec.model.source: unknown scheme 'ftp'; use one of hf://")


def test_verbose_shows_what_each_process_says(start_up, manifest) -> None:
    up = start_up(manifest("chat", replicas=2), "--port", "0", "-v")
    up.until(r"\[chat-1\] importing hf://org/name as float32")
    up.until(r"\[chat-2\] importing hf://org/name as float32")


def test_without_verbose_what_processes_say_is_not_shown(start_up, manifest) -> None:
    up = start_up(manifest("chat"), "--port", "0")
    up.until("Serving")
    assert "importing" not in up.said()


def test_ctrl_c_typed_in_a_terminal_stops_everything(start_up, manifest) -> None:
    terminal, its_end = os.openpty()
    up = start_up(manifest("chat"), "--port", "0", tty=its_end)
    up.until("Serving")
    up.children()
    os.write(terminal, b"\x03")
    assert up.exit_code() == 0
    assert not up.left()
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    os.close(its_end)
    assert re.search(r"\r\x1b\[K +\d s  gateway \w+ · chat \w+", shown), shown
