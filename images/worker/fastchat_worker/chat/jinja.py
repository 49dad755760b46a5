"""Chat templates as programs: what they may call is transformers' set, and how long they run is bounded.

Source: https://huggingface.co/docs/transformers/chat_templating_writing
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateSyntaxError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_SECONDS = 5.0
"""Of one thread's time that a template may take for one conversation."""
MOST_CHARACTERS = 1 << 25
"""Of what a template writes, or holds in one text. A request's body has at most a quarter of that."""


class ChatTemplateError(Exception):
    """A chat template cannot write a conversation; the message says why."""


class RefusedError(ChatTemplateError):
    """The template itself refuses it: its own words."""


class UnboundedError(ChatTemplateError):
    """The template runs for too long, or makes too much."""


class BrokenError(ChatTemplateError):
    """The template has an error, or was not made for such a conversation: the line, and what is wrong there."""


class ChatProgram:
    """A compiled chat template. Raises, when it is made: BrokenError for what is no template."""

    def __init__(self, source: str) -> None:
        self.source = source
        environment = _Environment()
        try:
            tree = _Counted().visit(environment.parse(source))
            code = environment.compile(tree)
        except TemplateSyntaxError as error:
            raise BrokenError(f"line {error.lineno}: {error.message}") from None
        except RecursionError:
            raise BrokenError("it is nested too deeply") from None
        self._template = environment.template_class.from_code(environment, code, environment.make_globals(None))

    def render(self, variables: dict[str, Any]) -> str:
        """What the template writes. Raises: ChatTemplateError."""
        _clock.deadline = time.thread_time() + MOST_SECONDS
        try:
            return _bounded(self._template.generate(variables))
        except ChatTemplateError:
            raise
        except Exception as error:  # noqa: BLE001  # a template can raise whatever Python can
            raise BrokenError(f"{_place(error)}{str(error) or type(error).__name__}") from None


def _bounded(written: Iterator[str]) -> str:
    """All that is written. Raises: UnboundedError where that is too much."""
    pieces, size = [], 0
    for piece in written:
        size += len(piece)
        if size > MOST_CHARACTERS:
            raise _too_large()
        pieces.append(piece)
    return "".join(pieces)


def _place(error: BaseException) -> str:
    """The line of the template that an error came from, where it is known."""
    line, trace = None, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"line {line}: " if line else ""


class _Clock(threading.local):
    """When the template that runs on this thread has to have ended, on its own clock."""

    deadline = 0.0


_clock = _Clock()


@pass_context  # without it the optimizer would ask once, when the template is compiled
def _tick(_context: Context, _value: object) -> None:
    """Raises: UnboundedError where the template runs for too long."""
    if time.thread_time() > _clock.deadline:
        raise UnboundedError(f"it runs for more than {MOST_SECONDS:g} s")


class _Counted(NodeTransformer):
    """Makes loops and macros ask the clock, and joined texts be measured."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        return self._asking(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._asking(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes), _JOIN).set_lineno(node.lineno)

    def _asking(self, node: nodes.For | nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_filtered(nodes.Const(None), _TICK)).set_lineno(node.lineno))
        return node


_TICK, _JOIN = "fastchat_tick", "fastchat_join"


def _filtered(value: nodes.Expr, name: str) -> nodes.Filter:
    """A filter is called as it is; a function would go through the sandbox, which takes ten times as long."""
    return nodes.Filter(value, name, [], [], None, None)


def _too_large() -> UnboundedError:
    return UnboundedError(f"it makes a text of more than {MOST_CHARACTERS} characters")


def _check_size(size: int) -> None:
    if size > MOST_CHARACTERS:
        raise _too_large()


def _join(parts: Iterable[object]) -> str:
    texts = list(map(str, parts))
    _check_size(sum(map(len, texts)))
    return "".join(texts)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols])
        self.filters |= {"tojson": _to_json, _TICK: _tick, _JOIN: _join}
        self.globals |= {
            "raise_exception": _refuse,
            "strftime_now": lambda pattern: datetime.now().strftime(pattern),  # the time of the machine, as there
            "dict": _make_dict,
        }

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Python's, where the result is not too large to be made."""
        match operator, left, right:
            case "**", _, _:
                raise SecurityError("** is not for chat templates")
            case "*", (str() | list() | tuple()), int():
                _check_size(len(left) * right)
            case "*", int(), (str() | list() | tuple()):
                _check_size(left * len(right))
            case "+", (str() | list() | tuple()), (str() | list() | tuple()):
                _check_size(len(left) + len(right))
        return super().call_binop(context, operator, left, right)


class _GenerationTag(Extension):
    """`{% generation %}`, which marks for training what the assistant says, and changes nothing here."""

    tags = {"generation"}  # noqa: RUF012  # as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: object) -> NoReturn:
    raise RefusedError(str(message))


def _to_json(value: Any, **options: Any) -> str:
    """Unlike Jinja's own it escapes nothing for HTML and keeps the order of keys."""
    return json.dumps(value, **{"ensure_ascii": False} | options)


def _make_dict(*args: Iterable[Any], **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)
