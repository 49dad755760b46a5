"""LangChain's own integration tests of chat models with its `ChatOpenAI`, over chat completions and over responses.

What they skip is what langchain-tests holds to be optional and a model of text lacks: pictures, sound and PDFs
(`test_image_inputs`, `test_audio_inputs`, `test_pdf_inputs`), those as results of tools (`test_image_tool_message`,
`test_pdf_tool_message`), and `test_stream_time`, which measures a recording.
"""

from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestChatCompletions(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {"model": "scripted", "max_tokens": 80, "stream_usage": True}

    @property
    def model_override_value(self):
        return "smollm2"

    @property
    def supports_json_mode(self):
        return True

    @property
    def supports_anthropic_inputs(self):
        return True

    @property
    def supported_usage_metadata_details(self):
        details = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._hello(stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self._hello(stream)

    def _hello(self, stream: bool) -> AIMessage:
        model = ChatOpenAI(**self.chat_model_params)
        if not stream:
            return model.invoke("Hello")
        first, *others = model.stream("Hello")
        return sum(others, first)


class TestResponses(TestChatCompletions):
    @property
    def chat_model_params(self):
        return {"model": "scripted", "max_tokens": 80, "use_responses_api": True}
