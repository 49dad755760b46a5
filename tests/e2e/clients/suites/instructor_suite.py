"""`instructor` with the client of `openai`: pydantic models by calls of tools and by JSON schemas."""

from typing import Literal

import instructor
import openai
import pytest
from pydantic import BaseModel, ConfigDict, Field

MODES = [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA]
QUESTION = [{"role": "user", "content": "Ada is 36 years old and likes the colour blue."}]


class Person(BaseModel):
    """Somebody who is spoken of."""

    model_config = ConfigDict(extra="forbid")  # else a model of noise names further fields without end

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)
    colour: Literal["red", "green", "blue"] | None = None


def client(mode):
    return instructor.from_openai(openai.OpenAI(max_retries=0), mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_model_comes_back(mode):
    person = client(mode).chat.completions.create(
        model="smollm2", messages=QUESTION, response_model=Person, max_tokens=400, max_retries=0
    )
    assert isinstance(person, Person)


@pytest.mark.parametrize("mode", MODES)
def test_a_model_grows_while_it_streams(mode):
    pieces = client(mode).chat.completions.create_partial(
        model="smollm2", messages=QUESTION, response_model=Person, max_tokens=400, max_retries=0
    )
    *_, last = pieces
    assert Person.model_validate(last.model_dump())
