import subprocess
import sys
from pathlib import Path

import fastchat

USAGE = """\
import numpy as np
import pandas as pd
from fastchat import AsyncClient, Client, api, client

messages: list[dict[str, str]] = [{"role": "user", "content": "Hello!"}]
flag = bool(messages)

reveal_type(client.ChatCompletion.create(model="m", messages=messages))
reveal_type(client.ChatCompletion.create(model="m", messages=messages, stream=False, max_tokens=5))
reveal_type(client.ChatCompletion.create(model="m", messages=messages, stream=True))
reveal_type(client.ChatCompletion.create(model="m", messages=messages, stream=flag))
reveal_type(client.ChatCompletion.create(model="m", messages=[*messages, api.ChatMessage()]).choices[0].message.content)
for chunk in client.ChatCompletion.create(model="m", messages=messages, stream=True):
    reveal_type(chunk.choices[0].delta.content)
reveal_type(client.Completion.create(model="m", prompt="p"))
reveal_type(client.Completion.create(model="m", prompt=[[1, 2], [3]], stream=True))
reveal_type(client.Embedding.create(model="m", input=np.array(["a"])))
reveal_type(client.Embedding.create(model="m", input=pd.Series(["a"])))
reveal_type(client.Model.list().data[0].id)

with Client(base_url="http://gateway", timeout=5) as mine:
    reveal_type(mine)
    reveal_type(mine.chat.completions.create(model="m", messages=messages))
    reveal_type(mine.chat.completions.create(model="m", messages=messages, stream=False, max_tokens=5))
    reveal_type(mine.chat.completions.create(model="m", messages=messages, stream=True))
    reveal_type(mine.chat.completions.create(model="m", messages=messages, stream=flag))
    reveal_type(mine.completions.create(model="m", prompt="p"))
    reveal_type(mine.completions.create(model="m", prompt="p", stream=True))
    reveal_type(mine.embeddings.create(model="m", input=["a"]))
    reveal_type(mine.models.list())
    reveal_type(mine.models.retrieve("m"))


async def main() -> None:
    reveal_type(await client.ChatCompletion.acreate(model="m", messages=messages))
    async for chunk in await client.ChatCompletion.acreate(model="m", messages=messages, stream=True):
        reveal_type(chunk)
    async with await client.Completion.acreate(model="m", prompt="p", stream=True) as stream:
        reveal_type(stream)
        reveal_type(await anext(stream))
    async with AsyncClient(max_retries=0) as mine:
        reveal_type(mine)
        reveal_type(await mine.chat.completions.create(model="m", messages=messages))
        async for chunk in await mine.chat.completions.create(model="m", messages=messages, stream=True):
            reveal_type(chunk)
        reveal_type(await mine.chat.completions.create(model="m", messages=messages, stream=flag))
        reveal_type(await mine.completions.create(model="m", prompt="p"))
        reveal_type(await mine.completions.create(model="m", prompt="p", stream=True))
        reveal_type(await mine.embeddings.create(model="m", input=["a"]))
        reveal_type(await mine.models.list())
        reveal_type(await mine.models.retrieve("m"))
"""
REVEALED = """\
fastchat.api.chat.ChatCompletion
fastchat.api.chat.ChatCompletion
fastchat._client.stream.Stream[fastchat.api.chat.ChatCompletionChunk]
fastchat.api.chat.ChatCompletion | fastchat._client.stream.Stream[fastchat.api.chat.ChatCompletionChunk]
str | None
str | None
fastchat.api.completions.Completion
fastchat._client.stream.Stream[fastchat.api.completions.Completion]
fastchat.api.embeddings.EmbeddingResponse
fastchat.api.embeddings.EmbeddingResponse
str
fastchat._client.clients.Client
fastchat.api.chat.ChatCompletion
fastchat.api.chat.ChatCompletion
fastchat._client.stream.Stream[fastchat.api.chat.ChatCompletionChunk]
fastchat.api.chat.ChatCompletion | fastchat._client.stream.Stream[fastchat.api.chat.ChatCompletionChunk]
fastchat.api.completions.Completion
fastchat._client.stream.Stream[fastchat.api.completions.Completion]
fastchat.api.embeddings.EmbeddingResponse
fastchat.api.models.ModelList
fastchat.api.models.ModelCard
fastchat.api.chat.ChatCompletion
fastchat.api.chat.ChatCompletionChunk
fastchat._client.stream.AsyncStream[fastchat.api.completions.Completion]
fastchat.api.completions.Completion
fastchat._client.clients.AsyncClient
fastchat.api.chat.ChatCompletion
fastchat.api.chat.ChatCompletionChunk
fastchat.api.chat.ChatCompletion | fastchat._client.stream.AsyncStream[fastchat.api.chat.ChatCompletionChunk]
fastchat.api.completions.Completion
fastchat._client.stream.AsyncStream[fastchat.api.completions.Completion]
fastchat.api.embeddings.EmbeddingResponse
fastchat.api.models.ModelList
fastchat.api.models.ModelCard
"""
MISUSE = """\
import httpx
from fastchat import AsyncClient, Client, client

client.ChatCompletion.create("m", [])
client.ChatCompletion.create(model="m")
client.Embedding.create(model="m", input="a", encoding_format="int8")
Client().chat.completions.create(model="m")
Client("http://gateway")
Client(http_client=httpx.AsyncClient())
AsyncClient().completions.create(model="m", stream=True)
"""


def mypy(tmp_path: Path, source: str) -> list[str]:
    """mypy's words on a user's file, without its line numbers."""
    (tmp_path / "usage.py").write_text(source)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", "usage.py"]
    sdk = Path(fastchat.__file__).parent.parent
    done = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(sdk)}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stderr == ""
    return [line.split(": ", 1)[1] for line in done.stdout.splitlines()]


def test_a_users_types_are_known_to_mypy(tmp_path: Path) -> None:
    assert mypy(tmp_path, USAGE) == [f'note: Revealed type is "{name}"' for name in REVEALED.splitlines()]


def test_a_users_mistakes_are_seen_by_mypy(tmp_path: Path) -> None:
    found = [line.rsplit("[", 1)[1] for line in mypy(tmp_path, MISUSE) if line.startswith("error")]
    assert found == [
        "call-overload]",
        "call-overload]",
        "arg-type]",
        "call-overload]",
        "call-arg]",
        "arg-type]",
        "call-overload]",
    ]
