"""Calls as each family of models writes them, and what they mean."""

from fastchat.api.tools import Function

WEATHER = Function(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)
SEARCH = Function(
    name="search",
    parameters={"type": "object", "properties": {"query": {"type": "string"}, "filters": {"type": "object"}}},
)
NOW = Function(name="now")
FUNCTIONS = {each.name: each for each in (WEATHER, SEARCH, NOW)}

CITY = {"city": 'São "Paulo" {[</tool_call>', "days": 2}
QUERY = {"query": "a\nb", "filters": {"deep": [{"er": [1, 2.5, None, True]}], "x": "<|end|>"}}
CALLS = [("get_weather", CITY), ("search", QUERY), ("now", {})]
"""The calls of each text in WRITTEN."""

_C = '{"city": "São \\"Paulo\\" {[</tool_call>", "days": 2}'
_Q = '{"query": "a\\nb", "filters": {"deep": [{"er": [1, 2.5, null, true]}], "x": "<|end|>"}}'
_F = '{"deep": [{"er": [1, 2.5, null, true]}], "x": "<|end|>"}'
_NAMES = (("get_weather", _C), ("search", _Q), ("now", "{}"))


def _objects(arguments: str = "arguments", name: str = "name") -> list[str]:
    return [f'{{"{name}": "{each}", "{arguments}": {text}}}' for each, text in _NAMES]


def _list(arguments: str = "arguments", name: str = "name") -> str:
    return "[" + ", ".join(_objects(arguments, name)) + "]"


_HERMES = "\n".join(f"<tool_call>\n{each}\n</tool_call>" for each in _objects())
_PYTHON = (
    """get_weather(city='São "Paulo" {[</tool_call>', days=2)""",
    """search(query="a\\nb", filters={'deep': [{"er": [1, 2.5, None, true]}], "x": "<|end|>"})""",
    "now()",
)
_DSML = "｜DSML｜"


def _qwen(begin: str, end: str) -> str:
    """The value of a tagged argument cannot contain its own end, and may contain those of other families."""
    return "\n".join(
        f"{begin}\n<function={name}>\n{''.join(arguments)}</function>\n{end}"
        for name, arguments in (
            (
                "get_weather",
                (f"<parameter=city>\n{CITY['city']}\n</parameter>\n", "<parameter=days>\n2\n</parameter>\n"),
            ),
            ("search", ("<parameter=query>\na\nb\n</parameter>\n", f"<parameter=filters>\n{_F}\n</parameter>\n")),
            ("now", ()),
        )
    )


def _invokes(mark: str, string: str = "", other: str = "") -> str:
    """As MiniMax and DeepSeek 3.2 write them."""
    return "\n".join(
        f'<{mark}invoke name="{name}">\n{"".join(arguments)}</{mark}invoke>'
        for name, arguments in (
            (
                "get_weather",
                (
                    f'<{mark}parameter name="city"{string}>{CITY["city"]}</{mark}parameter>\n',
                    f'<{mark}parameter name="days"{other}>2</{mark}parameter>\n',
                ),
            ),
            (
                "search",
                (
                    f'<{mark}parameter name="query"{string}>a\nb</{mark}parameter>\n',
                    f'<{mark}parameter name="filters"{other}>{_F}</{mark}parameter>\n',
                ),
            ),
            ("now", ()),
        )
    )


def _glm() -> str:
    return (
        f"<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>{CITY['city']}</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n"
        f"<tool_call>search\n<arg_key>query</arg_key>\n<arg_value>a\nb</arg_value>\n"
        f"<arg_key>filters</arg_key>\n<arg_value>{_F}</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>"
    )


def _each(before: str, between: str, after: str, joined: str = "") -> str:
    return joined.join(f"{before}{name}{between}{text}{after}" for name, text in _NAMES)


WRITTEN = {
    "generic": _HERMES,
    "hermes": _HERMES,
    "qwen3_coder": _qwen("<tool_call>", "</tool_call>"),
    "seed_oss": _qwen("<seed:tool_call>", "</seed:tool_call>")
    .replace(">\n", ">")
    .replace("\n</parameter", "</parameter"),
    "glm45": _glm(),
    "minimax_m2": f"<minimax:tool_call>\n{_invokes('')}\n</minimax:tool_call>",
    "deepseek_v32": f"<{_DSML}function_calls>\n"
    + _invokes(_DSML, ' string="true"', ' string="false"')
    + f"\n</{_DSML}function_calls>",
    "deepseek_v3": "<｜tool▁calls▁begin｜>"
    + _each("<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n", "\n```<｜tool▁call▁end｜>", "\n")
    + "<｜tool▁calls▁end｜>",
    "deepseek_v31": "<｜tool▁calls▁begin｜>"
    + _each("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>")
    + "<｜tool▁calls▁end｜>",
    "kimi_k2": "<|tool_calls_section_begin|>"
    + _each("<|tool_call_begin|>functions.", ":0<|tool_call_argument_begin|>", "<|tool_call_end|>")
    + "<|tool_calls_section_end|>",
    "mistral": f"[TOOL_CALLS]{_list()}",
    "mistral_v11": _each("[TOOL_CALLS]", "[ARGS]", ""),
    "harmony": "<|start|>assistant".join(
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{text}<|call|>" for name, text in _NAMES
    ),
    "functionary_v3": _each("", "\n", "", "\n>>>"),
    "gemma4": """<|tool_call>call:get_weather{city:<|"|>São "Paulo" {[</tool_call><|"|>,days:2}<tool_call|>"""
    """<|tool_call>call:search{query:<|"|>a\nb<|"|>,filters:{deep:[{er:[1,2.5,null,true]}],x:<|"|><|end|><|"|>}}"""
    "<tool_call|><|tool_call>call:now{}<tool_call|>",
    "function_tag": _each("<function=", ">", "</function>", "\n"),
    "llama3_json": "; ".join(_objects("parameters")),
    "llama4_pythonic": f"<|python_start|>[{', '.join(_PYTHON)}]<|python_end|>",
    "llama_pythonic": f"[{', '.join(_PYTHON)}]",
    "lfm2": f"<|tool_call_start|>[{', '.join(_PYTHON)}]<|tool_call_end|>",
    "olmo3": "<function_calls>\n" + "\n".join(_PYTHON) + "\n</function_calls>",
    "phi4_mini": f"functools{_list()}",
    "granite": f"<|tool_call|>{_list()}",
    "granite_20b": "\n".join(f"<function_call> {each}" for each in _objects()),
    "internlm": "\n".join(f"<|action_start|><|plugin|>\n{each}<|action_end|>" for each in _objects("parameters")),
    "command_r7b": f"<|START_ACTION|>{_list('parameters', 'tool_name')}<|END_ACTION|>",
    "command_r": f"Action:\n```json\n{_list('parameters', 'tool_name')}\n```",
    "nemotron": f"<TOOLCALL>{_list()}</TOOLCALL>",
    "tool_calls": f"<tool_calls>{_list()}</tool_calls>",
    "json_list": _list(),
}
"""By the name of the form: the three calls."""
