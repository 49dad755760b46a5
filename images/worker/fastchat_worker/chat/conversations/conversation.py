"""One way to put a conversation into words, and the shapes that most families share."""

import json
from dataclasses import dataclass, field

Around = tuple[str, str]
"""What stands before and after a text."""


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """The words of one family of models.

    user, assistant: what stands around a turn. generation: what the model continues with its own turn; by default what
    stands before one, without spaces at its end. begin: how the system's text is written, at {}. system: that text
    where a conversation has none of its own. without: what is written in place of `begin` where there is no such text
    at all; None: `begin` with nothing in it. system_in_turn: `begin` stands inside the first turn of the user instead
    of before it. examples: turns of user and assistant that come before those of the conversation. single_breaks: a
    turn has no empty lines. first_round: the number that {round} in `user` counts from. stop_texts: where the answer
    ends, cut out of it. stop_tokens: tokens that end it, by their text; those that a tokenizer does not have are left
    out. The tokenizer's own end token ends it too.
    """

    name: str
    user: Around
    assistant: Around
    generation: str = ""
    begin: str = "{}"
    system: str = ""
    without: str | None = None
    system_in_turn: bool = False
    examples: tuple[str, ...] = ()
    single_breaks: bool = False
    first_round: int = 0
    stop_texts: tuple[str, ...] = ()
    stop_tokens: tuple[str, ...] = ()
    jinja: str = field(init=False, repr=False)
    """The chat template that writes it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "generation", self.generation or self.assistant[0].rstrip(" "))
        object.__setattr__(self, "jinja", _declarations(self) + _TEMPLATE)


def colon(name: str, roles: Around, sep: str, sep2: str | None = None, **fields: object) -> Conversation:
    """`USER: text`, each turn with a separator after it, and the system's text before them."""
    return _turns(name, (f"{roles[0]}: ", f"{roles[1]}: "), sep, sep2, {"begin": "{}" + sep} | fields)


def bare(name: str, roles: Around, sep: str, sep2: str | None = None, **fields: object) -> Conversation:
    """`ROLEtext`, each turn with a separator after it; nothing is between the system's text and them."""
    return _turns(name, roles, sep, sep2, {"generation": roles[1]} | fields)


def lines(name: str, roles: Around, sep: str, **fields: object) -> Conversation:
    """The role on a line of its own, a separator after each turn, and after the system's text where there is some."""
    heads = (f"{roles[0]}\n", f"{roles[1]}\n")
    return _turns(name, heads, sep, None, {"begin": "{}" + sep, "without": ""} | fields)


def chatml(
    name: str,
    system: str = "",
    *,
    roles: Around = ("<|im_start|>user", "<|im_start|>assistant"),
    head: str = "<|im_start|>system",
    end: str = "<|im_end|>",
    **fields: object,
) -> Conversation:
    """The role on a line of its own, an end token and a line break after each turn, also after the system's text."""
    heads = (f"{roles[0]}\n", f"{roles[1]}\n")
    return _turns(name, heads, f"{end}\n", None, {"begin": f"{head}\n{{}}{end}\n", "system": system} | fields)


def llama2(
    name: str, sep2: str, *, begin: str = "<<SYS>>\n{}\n<</SYS>>\n\n", system: str = "", **fields: object
) -> Conversation:
    """`[INST] text [/INST] text`, the system's text inside the first turn."""
    inside = {"begin": begin, "system": system, "without": "", "system_in_turn": True}
    return _turns(name, ("[INST] ", "[/INST] "), " ", sep2, inside | fields)


def _turns(name: str, heads: Around, sep: str, sep2: str | None, fields: dict[str, object]) -> Conversation:
    user, assistant = (heads[0], sep), (heads[1], sep if sep2 is None else sep2)
    return Conversation(**{"name": name, "user": user, "assistant": assistant, **fields})  # type: ignore[arg-type]


def _declarations(conversation: Conversation) -> str:
    """What differs between families, as variables of the template. JSON's literals are Jinja's too."""
    before, _, after = conversation.begin.partition("{}")
    without = before + after if conversation.without is None else conversation.without
    values = {
        "title": conversation.name,
        "begin": [before, after],
        "default": conversation.system,
        "without": without,
        "inside": conversation.system_in_turn,
        "examples": conversation.examples,
        "around": {"user": conversation.user, "assistant": conversation.assistant},
        "generation": conversation.generation,
        "single_breaks": conversation.single_breaks,
        "first_round": conversation.first_round,
    }
    return "".join(f"{{%- set {name} = {_literal(value)} %}}\n" for name, value in values.items())


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


_TEMPLATE = """\
{%- set state = namespace(system=none, opening='', round=first_round, turns=0) %}
{%- macro turn(role, text) %}
    {%- if role not in around %}
        {{- raise_exception('the conversation ' ~ title ~ ' knows user, assistant and system, not ' ~ role) }}
    {%- endif %}
    {%- set text = text | replace('\\r\\n', '\\n') | replace('\\n\\n', '\\n') if single_breaks else text %}
    {%- if state.opening and role != 'user' %}
        {{- around.user[0] ~ state.opening ~ around.user[1] }}
        {%- set state.opening = '' %}
    {%- endif %}
    {{- around[role][0] | replace('{round}', state.round | string) ~ state.opening ~ text ~ around[role][1] }}
    {%- set state.opening = '' %}
    {%- if role == 'user' %}
        {%- set state.round = state.round + 1 %}
    {%- endif %}
{%- endmacro %}
{%- for message in messages if message.role == 'system' %}
    {%- set state.system = message.content if state.system is none else state.system ~ '\\n\\n' ~ message.content %}
{%- endfor %}
{%- set system = default if state.system is none else state.system %}
{%- set opening = begin[0] ~ system ~ begin[1] if system else without %}
{%- if inside %}
    {%- set state.opening = opening %}
{%- else %}
    {{- opening }}
{%- endif %}
{%- for text in examples %}
    {{- turn(loop.cycle('user', 'assistant'), text) }}
{%- endfor %}
{%- for message in messages if message.role != 'system' %}
    {{- turn(message.role, message.content or '') }}
{%- endfor %}
{%- if state.opening %}
    {{- around.user[0] ~ state.opening ~ around.user[1] }}
{%- endif %}
{%- if add_generation_prompt %}
    {{- generation }}
{%- endif %}
"""
