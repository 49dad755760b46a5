"""`fastchat ask` and `fastchat embed`, in pipes."""

import json
from pathlib import Path

import numpy as np
import pytest

from .conftest import Run

GREEDY = ("--set", "temperature=0", "--set", "max_tokens=8")
SCHEMA = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}


def test_an_answer_is_on_stdout_alone_and_the_same_as_the_whole_response_has(run: Run) -> None:
    streamed, whole = run("ask", "Hello!", *GREEDY), run("ask", "Hello!", "--json", *GREEDY)
    assert (streamed.code, whole.code) == (0, 0)
    assert streamed.err == "(cut off: the limit of tokens is reached)\n"
    assert streamed.out == whole.json["choices"][0]["message"]["content"] + "\n"
    assert whole.json["usage"]["completion_tokens"] == 8


def test_what_is_piped_in_stands_behind_the_question(run: Run) -> None:
    alone = run("ask", "Hello!\n\nHere is a text.", "--json", *GREEDY).json
    piped = run("ask", "Hello!", "--json", *GREEDY, stdin="Here is a text.").json
    assert piped["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"]
    assert piped["choices"][0]["message"] == alone["choices"][0]["message"]


def test_a_system_prompt_is_sent(run: Run) -> None:
    tokens = [run("ask", "Hi", "--json", *GREEDY, *more).json["usage"] for more in ((), ("-s", "Be brief. " * 20))]
    assert tokens[1]["prompt_tokens"] > tokens[0]["prompt_tokens"] + 20


def test_an_answer_keeps_a_schema(run: Run, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    done = run("ask", "A number?", "--schema", str(tmp_path / "schema.json"), "--set", "max_tokens=60")
    assert (done.code, done.json["a"] in (1, 2)) == (0, True)
    cut = run("ask", "A number?", "--schema", str(tmp_path / "schema.json"), "--set", "max_tokens=2")
    assert cut.code == 1
    assert "the answer was cut off, and is no JSON: allow more with --set max_tokens=N" in cut.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ask"], 2, "there is no question: give it as an argument, or on stdin"),
        (["ask", "x", "--schema", "/nowhere"], 1, "cannot read /nowhere: No such file or directory"),
        (["ask", "x", "--model", "none"], 1, "The model 'none' does not exist"),
        (["ask", "x", "--set", "temperature=9"], 1, "400: "),
        (["ask", "x", "--url", "localhost"], 1, "Invalid base URL 'localhost': it is http://host:port"),
        (["ask", "x", "--url", "http://a", "-n", "b"], 1, "--url and --namespace are two servers"),
        (["embed", "x", "--output", "x.csv"], 2, "x.csv is neither FILE.jsonl nor FILE.npy"),
        (["embed", "x"], 1, "no model for this is served there (task Embed); deploy one, or give --model NAME"),
        (["embed", "x", "--model", "none"], 1, "The model 'none' does not exist"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(run: Run, arguments: list[str], code: int, message: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err


def test_lines_become_vectors_in_their_order(run: Run, tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(70)]
    done = run("embed", "-m", "small", stdin="\n".join([*lines[:5], "", *lines[5:]]))
    found = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, [each["text"] for each in found]) == (0, lines)
    array = run("embed", "-m", "small", "--output", str(tmp_path / "v.npy"), stdin="\n".join(lines))
    assert array.err == f"70 vectors of small are in {tmp_path / 'v.npy'}\n"
    vectors = np.load(tmp_path / "v.npy")
    assert (vectors.shape, vectors.dtype) == ((70, 64), np.float32)
    np.testing.assert_allclose(vectors, [each["embedding"] for each in found], atol=1e-5)


def test_arguments_become_vectors_in_a_file_of_lines(run: Run, tmp_path: Path) -> None:
    assert run("embed", "a", "b", "-m", "small", "-o", str(tmp_path / "v.jsonl")).code == 0
    found = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert [each["text"] for each in found] == ["a", "b"]
