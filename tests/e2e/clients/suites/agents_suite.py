"""Agents of `openai-agents` (Responses and chat) and of `pydantic-ai`, each with a tool that is called."""

import asyncio
from typing import Annotated

import pytest
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from openai import AsyncOpenAI
from pydantic import BaseModel, Field
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel

calls = []


class Rolled(BaseModel):
    number: int = Field(ge=1, le=20)


@function_tool
def roll(sides: Annotated[int, Field(ge=2, le=20)]) -> int:
    """Roll a die."""
    calls.append(sides)
    return 4


@pytest.mark.parametrize("kind", [OpenAIResponsesModel, OpenAIChatCompletionsModel])
def test_an_agent_calls_its_tool_and_answers(kind):
    calls.clear()
    agent = Agent(
        name="roller",
        instructions="Roll the die.",
        model=kind(model="smollm2", openai_client=AsyncOpenAI()),
        model_settings=ModelSettings(tool_choice="required", max_tokens=400, parallel_tool_calls=False),
        tools=[roll],
        output_type=Rolled,
    )
    # A model of noise may call it again and again.
    result = asyncio.run(Runner.run(agent, "Roll a die with six sides.", max_turns=20))
    assert calls
    assert isinstance(result.final_output, Rolled)


class City(BaseModel):
    name: str = Field(max_length=20)
    country: str = Field(max_length=20)


def test_pydantic_ai_gets_its_type():
    agent = PydanticAgent(OpenAIChatModel("smollm2"), output_type=City, model_settings={"max_tokens": 400})
    assert isinstance(agent.run_sync("Name the capital of France.").output, City)
