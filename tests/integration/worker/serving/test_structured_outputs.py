"""The forms that a request may want, over a real socket with SmolLM2."""

import json

import httpx
import jsonschema
import pytest
from openai import BadRequestError, OpenAI
from pydantic import BaseModel, Field

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
MESSAGES = [{"role": "user", "content": "Invent a person."}]
AMBIGUOUS = 'start: s+\ns: "a" | s s | s s s | ""'


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=120)


def _chat(llm: httpx.Client, **params) -> httpx.Response:
    body = {"model": "smollm2", "messages": MESSAGES, "temperature": 0, "max_tokens": 60, **params}
    return llm.post("/v1/chat/completions", json=body)


def _content(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    (choice,) = response.json()["choices"]
    assert choice["finish_reason"] == "stop"
    return choice["message"]["content"]


@pytest.mark.parametrize(
    "form",
    [
        {"response_format": SCHEMA},
        {"guided_json": PERSON},
        {"guided_json": json.dumps(PERSON)},
        {"structured_outputs": {"json": PERSON}},
    ],
    ids=lambda form: next(iter(form)),
)
def test_a_document_is_one_that_the_schema_takes(llm, form):
    jsonschema.validate(json.loads(_content(_chat(llm, **form))), PERSON)


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ({"guided_choice": ["blue", "green"]}, {"blue", "green"}),
        ({"structured_outputs": {"choice": ["blue", "green"]}}, {"blue", "green"}),
        ({"guided_regex": "(ab){3}"}, {"ababab"}),
        ({"structured_outputs": {"regex": "(ab){3}"}}, {"ababab"}),
        ({"guided_grammar": 'root ::= "a" "b"'}, {"ab"}),
        ({"structured_outputs": {"grammar": 'start: "a" "b"'}}, {"ab"}),
        ({"response_format": SCHEMA, "stop": ['":"']}, {'{"name'}),
    ],
)
def test_a_text_keeps_its_form(llm, form, texts):
    assert _content(_chat(llm, **form)) in texts


def test_each_choice_is_a_document_of_its_own(llm):
    response = _chat(llm, response_format=SCHEMA, n=3, temperature=1.2, seed=4, presence_penalty=0.5, top_p=0.9).json()
    texts = [choice["message"]["content"] for choice in response["choices"]]
    for text in texts:
        jsonschema.validate(json.loads(text), PERSON)
    assert len(set(texts)) > 1


def test_a_json_object_that_is_too_long_is_cut(llm):
    (choice,) = _chat(llm, response_format={"type": "json_object"}, max_tokens=5).json()["choices"]
    assert choice["message"]["content"].startswith("{")
    assert choice["finish_reason"] == "length"


def test_a_completion_keeps_its_form(llm):
    body = {"model": "smollm2", "prompt": ["A person: ", "Another: "], "max_tokens": 60, "guided_json": PERSON}
    for choice in llm.post("/v1/completions", json=body).json()["choices"]:
        jsonschema.validate(json.loads(choice["text"]), PERSON)


@pytest.mark.parametrize(
    ("form", "param", "message"),
    [
        ({"guided_json": {"not": {}}}, "guided_json", 'Unimplemented keys: ["not"]'),
        ({"response_format": SCHEMA | {"json_schema": {"name": "a", "schema": {"type": "x"}}}}, "response_format", "x"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json", "no JSON"),
        ({"structured_outputs": {"json": "[]"}}, "structured_outputs.json", "neither an object nor true"),
        ({"guided_regex": "("}, "guided_regex", "unclosed group"),
        ({"guided_grammar": "root ::= x"}, "guided_grammar", "Rule 'x' not found"),
        ({"guided_json": {"type": "integer", "multipleOf": 1000003}}, "guided_json", "multipleOf: 1000003"),
        (
            {"guided_grammar": AMBIGUOUS, "logit_bias": {"2": -100}, "max_tokens": 400},
            "guided_grammar",
            "items",
        ),
    ],
)
def test_what_cannot_be_kept_is_a_400_that_names_it(llm, form, param, message):
    response = _chat(llm, **form)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_grammar", param)
    assert message in error["message"]


def test_openais_client_parses_streams_and_is_refused(smollm2):
    client = OpenAI(base_url=f"{smollm2.url}/v1", api_key="none")
    asked = {"model": "smollm2", "messages": MESSAGES, "temperature": 0, "max_tokens": 60}
    parsed = client.chat.completions.parse(**asked, response_format=Person).choices[0].message.parsed
    assert isinstance(parsed, Person)
    with client.chat.completions.stream(**asked, response_format=Person) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == parsed
    with pytest.raises(BadRequestError, match="Unimplemented keys"):
        client.chat.completions.create(**asked, extra_body={"guided_json": {"not": {}}})
