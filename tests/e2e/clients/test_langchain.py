"""`langchain-openai` passes LangChain's own integration tests of chat models.

Where these want a certain call or document of the model it is made to say it; elsewhere it says what it likes.
"""

import json

from support.clients.script import Rule, call

JOKE = {"setup": "Why do cats like the sun?", "punchline": "It is purr-fect."}
RULES: list[Rule] = [
    {"when": "<tool_response>\nIt's sunny", "say": "It is sunny in San Francisco."},
    {"when": r"What is 3 \+ 4", "say": call("my_adder_tool", a=3, b=4)},
    {"when": '"result": 3|Missing required argument', "say": "The sum is 3."},
    {"when": "magic_function_no_args", "say": call("magic_function_no_args")},
    {"when": r"magic_function\(3\)", "say": call("magic_function", input=3)},
    {"when": '(?s)"magic_function".*Hello!', "say": call("magic_function", input=7)},
    {"when": "weather in San Francisco", "say": call("get_weather", location="San Francisco, CA")},
    {"when": "Pirate greeting", "say": call("greeting_generator", answer_style="pirate")},
    {"when": "'你好啊集团'", "say": call("unicode_customer", customer_name="你好啊集团", description="技术")},
    {
        "when": "'こんにちは株式会社'",
        "say": call("unicode_customer", customer_name="こんにちは株式会社", description=""),
    },
    {"when": '(?s)"name": "Joke".*cats', "say": call("Joke", **JOKE)},
    {"when": "joke about cats", "say": json.dumps(JOKE, separators=(",", ":"))},
]


def test_langchains_own_tests_pass(run_suite, forced) -> None:
    forced(RULES)
    run_suite("langchain_suite")
