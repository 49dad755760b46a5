"""Serves the quickstart on this machine and asks it a question, a completion and an embedding: `make demo`.

In a terminal it goes on serving until Ctrl-C; without one it ends after the answers.
"""

import signal
import subprocess
import sys
import threading
from pathlib import Path

from fastchat import client
from fastchat.errors import FastChatError

HOST, PORT = "127.0.0.1", 8000
MODEL = "vicuna-7b-v1.1"  # an alias of smollm2: programs written for FastChat's first model run unchanged
QUESTION = "What is the capital of France?"
STORY = "Once upon a time"
SENTENCE = "Hello, can you tell me a joke"

CURLS = f"""
Try it yourself:

  curl http://localhost:{PORT}/v1/chat/completions -H "Content-Type: application/json" \\
    -d '{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

  curl http://localhost:{PORT}/v1/completions -H "Content-Type: application/json" \\
    -d '{{"model": "{MODEL}", "prompt": "{STORY}", "max_tokens": 41, "temperature": 0.5}}'

  curl http://localhost:{PORT}/v1/create_embeddings -H "Content-Type: application/json" \\
    -d '{{"model": "{MODEL}", "input": "{SENTENCE}"}}'
"""


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):  # like Ctrl-C: what was started is stopped
        signal.signal(number, signal.default_int_handler)
    up = start()
    try:
        if not served(up):
            return up.wait()
        ask()
        print(CURLS, flush=True)
        if sys.stdout.isatty():
            print(f"Serving on http://localhost:{PORT}/v1 – Ctrl-C stops it.", flush=True)
            return up.wait()
    except KeyboardInterrupt:
        pass
    except FastChatError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        stop(up)
    return 0


def start() -> "subprocess.Popen[str]":
    """`fastchat up` on the quickstart, in a session of its own, so that a Ctrl-C reaches it once, through `stop`."""
    quickstart = Path(__file__).with_name("quickstart.yaml")
    command = [sys.executable, "-m", "fastchat", "up", str(quickstart), "--host", HOST, "--port", str(PORT)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def served(up: "subprocess.Popen[str]") -> bool:
    """Shows what `up` says until all is ready; False where it ends before."""
    assert up.stdout
    for line in up.stdout:
        print(line, end="", flush=True)
        if line.startswith("Serving on"):
            threading.Thread(target=up.stdout.read, daemon=True).start()  # so that the pipe never fills up
            return True
    return False


def ask() -> None:
    """One chat question, one completion, one embedding, through the SDK."""
    client.set_baseurl(f"http://{HOST}:{PORT}")
    chat = client.ChatCompletion.create(
        model="smollm2", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=64
    )
    print(f"\nchat         {QUESTION}\n          →  {chat.choices[0].message.content}")
    story = client.Completion.create(model=MODEL, prompt=STORY, max_tokens=41, temperature=0.5)
    print(f"\ncompletion   {STORY}\n          →  {' '.join(story.choices[0].text.split())}")
    vector = client.Embedding.create(model="all-minilm-l6-v2", input=SENTENCE).data[0].embedding
    print(f"\nembedding    {SENTENCE}\n          →  {len(vector)} dimensions: {[round(x, 3) for x in vector[:6]]} …")


def stop(up: "subprocess.Popen[str]") -> None:
    up.send_signal(signal.SIGINT)
    up.wait()


if __name__ == "__main__":
    sys.exit(main())
