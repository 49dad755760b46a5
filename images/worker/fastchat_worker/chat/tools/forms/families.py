"""The forms of calls by family, and which one a model has: by what its chat template and its control tokens say."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastchat_worker.chat.tools.forms.channels import FunctionaryCalls, HarmonyCalls
from fastchat_worker.chat.tools.forms.form import Form
from fastchat_worker.chat.tools.forms.gemma_calls import GemmaCalls
from fastchat_worker.chat.tools.forms.json_calls import JsonCalls
from fastchat_worker.chat.tools.forms.named_calls import MistralCalls, NamedCalls
from fastchat_worker.chat.tools.forms.pythonic import PythonicCalls
from fastchat_worker.chat.tools.forms.tagged_calls import TaggedCalls

GENERIC = JsonCalls("generic", "<tool_call>\n", "\n</tool_call>", bare=True)
"""For models whose template knows no tools."""


@dataclass(frozen=True)
class Family:
    """A form, and the texts that tell it: all of them are in the template, and none of `without`."""

    form: Form
    told_by: tuple[str, ...]
    without: tuple[str, ...] = ()

    def fits(self, template: str) -> bool:
        return all(text in template for text in self.told_by) and not any(text in template for text in self.without)


def _deepseek(name: str, separator: str, kinds: tuple[str, ...], fence: str) -> NamedCalls:
    return NamedCalls(
        name,
        "<｜tool▁call▁begin｜>",
        separator,
        "<｜tool▁call▁end｜>",
        ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
        kinds=kinds,
        separators=("<｜tool▁sep｜>", "```json"),
        fence=fence,
    )


# The first that fits is taken. Sources: the chat templates that the models are published with.
FAMILIES: tuple[Family, ...] = (
    Family(HarmonyCalls("harmony"), ("<|channel|>", "<|message|>", "to=")),
    Family(FunctionaryCalls("functionary_v3"), (">>>all",)),
    Family(GemmaCalls("gemma4"), ("<|tool_call>", "<tool_call|>")),
    Family(
        NamedCalls(
            "kimi_k2",
            "<|tool_call_begin|>",
            "<|tool_call_argument_begin|>",
            "<|tool_call_end|>",
            ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
            prefix="functions.",
        ),
        ("<|tool_call_begin|>",),
    ),
    Family(
        TaggedCalls(
            "deepseek_v32",
            ("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
            ('<｜DSML｜invoke name="', '">'),
            ('<｜DSML｜parameter name="', '">'),
            ("", "</｜DSML｜parameter>"),
            "</｜DSML｜invoke>",
            padded=False,
            string_kind='" string="true">',
            other_kind='" string="false">',
        ),
        ("｜DSML｜",),
    ),
    Family(
        _deepseek("deepseek_v3", "\n```json\n", ("function<｜tool▁sep｜>",), "```"),
        ("<｜tool▁call▁begin｜>", "```json"),
    ),
    Family(_deepseek("deepseek_v31", "<｜tool▁sep｜>", (), ""), ("<｜tool▁call▁begin｜>",)),
    Family(MistralCalls("mistral_v11", named=True), ("[TOOL_CALLS]", "[ARGS]")),
    Family(MistralCalls("mistral", named=False), ("[TOOL_CALLS]",)),
    Family(
        TaggedCalls(
            "glm45",
            ("<tool_call>", "</tool_call>"),
            ("", ""),
            ("<arg_key>", "</arg_key>"),
            ("<arg_value>", "</arg_value>"),
            padded=False,
        ),
        ("<arg_key>",),
    ),
    Family(
        TaggedCalls(
            "minimax_m2",
            ("<minimax:tool_call>", "</minimax:tool_call>"),
            ('<invoke name="', '">'),
            ('<parameter name="', '">'),
            ("", "</parameter>"),
            "</invoke>",
            padded=False,
        ),
        ("<minimax:tool_call>",),
    ),
    Family(
        TaggedCalls(
            "seed_oss",
            ("<seed:tool_call>", "</seed:tool_call>"),
            ("<function=", ">"),
            ("<parameter=", ">"),
            ("", "</parameter>"),
            "</function>",
            padded=False,
        ),
        ("<seed:tool_call>",),
    ),
    Family(
        TaggedCalls(
            "qwen3_coder",
            ("<tool_call>", "</tool_call>"),
            ("<function=", ">"),
            ("<parameter=", ">"),
            ("", "</parameter>"),
            "</function>",
        ),
        ("<function=", "<parameter="),
    ),
    Family(PythonicCalls("llama4_pythonic", "<|python_start|>", "<|python_end|>", bare=True), ("<|python_start|>",)),
    Family(PythonicCalls("llama_pythonic", bare=True), ("[func_name1(",)),
    Family(PythonicCalls("lfm2", "<|tool_call_start|>", "<|tool_call_end|>"), ("<|tool_call_start|>",)),
    Family(PythonicCalls("olmo3", "<function_calls>", "</function_calls>", listed=False), ("<function_calls>",)),
    Family(
        JsonCalls("phi4_mini", "functools", others=("<|tool_call|>",), ends=("<|/tool_call|>",), listed=True),
        ("<|tool|>", "<|/tool|>"),
    ),
    Family(JsonCalls("granite", "<|tool_call|>", listed=True), ("<|tool_call|>",)),
    Family(JsonCalls("granite_20b", "<function_call> "), ("<function_call>",)),
    Family(
        JsonCalls(
            "internlm",
            "<|action_start|><|plugin|>\n",
            "<|action_end|>",
            keys=("name", "parameters"),
            others=("<|action_start|> <|plugin|>",),
        ),
        ("<|plugin|>",),
    ),
    Family(
        JsonCalls("command_r7b", "<|START_ACTION|>", "<|END_ACTION|>", listed=True, keys=("tool_name", "parameters")),
        ("<|START_ACTION|>",),
    ),
    Family(
        JsonCalls(
            "command_r",
            "Action:\n```json\n",
            "\n```",
            listed=True,
            keys=("tool_name", "parameters"),
            others=("Action: ```json", "Action:```json"),
        ),
        ("Action:", "```json", "tool_name"),
    ),
    Family(JsonCalls("nemotron", "<TOOLCALL>", "</TOOLCALL>", listed=True), ("<TOOLCALL>",)),
    Family(JsonCalls("tool_calls", "<tool_calls>", "</tool_calls>", listed=True), ("<tool_calls>",)),
    Family(NamedCalls("function_tag", "<function=", ">", "</function>"), ("<function=",)),
    Family(JsonCalls("hermes", "<tool_call>\n", "\n</tool_call>"), ("<tool_call>",)),
    Family(
        JsonCalls("llama3_json", between="; ", keys=("name", "parameters"), others=("<|python_tag|>",), bare=True),
        ('"parameters": dictionary',),
    ),
    Family(
        JsonCalls("llama3_json", between="; ", keys=("name", "parameters"), others=("<|python_tag|>",), bare=True),
        ("<|python_tag|>",),
    ),
    Family(JsonCalls("json_list", listed=True, bare=True), ('[{"name": ',)),
)

FORMS: Mapping[str, Form] = {family.form.name: family.form for family in FAMILIES} | {GENERIC.name: GENERIC}
"""The forms by name, as `--tool-call-parser` takes them."""


def find(template: str) -> Form | None:
    """The form that a chat template tells. None: it tells none that is known."""
    return next((family.form for family in FAMILIES if family.fits(template)), None)
