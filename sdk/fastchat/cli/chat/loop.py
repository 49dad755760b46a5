"""Question and answer in turn, until the user ends it."""

import contextlib
import signal
import sys
import time
from dataclasses import dataclass

from fastchat._client.clients import Client
from fastchat.cli import connection
from fastchat.cli.chat import commands
from fastchat.cli.chat.conversation import Conversation
from fastchat.cli.chat.keyboard import from_terminal, history, history_path, read_text
from fastchat.cli.console import complain, is_terminal, say, show
from fastchat.cli.errors import CommandError
from fastchat.cli.text import Writer


def talk(client: Client, conversation: Conversation, *, verbose: bool) -> None:
    """Returns when the user ends it. What goes wrong with one question is told, and the next may be asked.

    Raises:
        CommandError: the last one of a stdin that is no terminal's could not be answered.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interactive = is_terminal(sys.stdin)
    if interactive:
        say(f"{conversation.model} – /help lists the commands, Ctrl-D ends")
    with history(history_path()) if interactive else contextlib.nullcontext():
        while (text := _next_text(interactive)) is not None:
            try:
                if _turn(client, conversation, text, verbose=verbose):
                    return
            except CommandError as error:
                if not interactive:
                    raise
                complain(str(error))
            except KeyboardInterrupt:
                say("")


def _next_text(interactive: bool) -> str | None:
    """What the user says next; None: nothing more."""
    while True:
        try:
            text = read_text(from_terminal)
        except EOFError:
            if interactive:
                say("")
            return None
        except KeyboardInterrupt:
            say("\n(Ctrl-D or /exit ends)")
            continue
        if text.strip():
            return text


def _turn(client: Client, conversation: Conversation, text: str, *, verbose: bool) -> bool:
    """Do or ask what was typed. Returns whether that ends the conversation."""
    question: str | None = text
    if text.startswith("/"):
        with connection.remedied():
            outcome = commands.execute(text.strip(), conversation, lambda: connection.models(client, "Generate"))
        if outcome.text:
            show(outcome.text)
        if outcome.ends:
            return True
        question = outcome.question
    if question is not None:
        _answer(client, conversation, question, verbose=verbose)
    return False


@dataclass
class _Answer:
    """What has come of an answer."""

    text: str = ""
    finish_reason: str | None = None
    tokens: int = 0
    began: float = 0.0
    first: float | None = None
    """When the first text came."""


def _answer(client: Client, conversation: Conversation, question: str, *, verbose: bool) -> None:
    """Ask, and show what comes. The conversation keeps what has come when it is broken off."""
    conversation.ask(question)
    answer, writer = _Answer(began=time.monotonic()), Writer()
    try:
        with connection.remedied():
            _stream(client, conversation, answer, writer)
    except KeyboardInterrupt:
        answer.finish_reason = "stopped"
    finally:
        writer.end()
        conversation.reply(answer.text)
    if answer.finish_reason in ("length", "stopped"):
        say(f"({'cut off: the limit of tokens is reached' if answer.finish_reason == 'length' else 'stopped'})")
    if verbose:
        say(_figures(answer, time.monotonic()))


def _stream(client: Client, conversation: Conversation, answer: _Answer, writer: Writer) -> None:
    options = {"stream_options": {"include_usage": True}, **conversation.settings}
    chunks = client.chat.completions.create(
        model=conversation.model, messages=conversation.messages, stream=True, **options
    )
    with chunks:
        for chunk in chunks:
            answer.tokens = chunk.usage.completion_tokens if chunk.usage else answer.tokens
            for choice in chunk.choices:
                delta = choice.delta
                if answer.first is None and (delta.content or delta.reasoning_content):
                    answer.first = time.monotonic()
                answer.text += delta.content or ""
                answer.finish_reason = choice.finish_reason or answer.finish_reason
                writer.reasoning(delta.reasoning_content or delta.reasoning or "")
                writer.content(delta.content or "")


def _figures(answer: _Answer, now: float) -> str:
    if answer.first is None:
        return f"({now - answer.began:.2f} s)"
    rate = (answer.tokens - 1) / (now - answer.first) if answer.tokens > 1 and now > answer.first else 0.0
    return f"({answer.tokens} tokens, the first after {answer.first - answer.began:.2f} s, {rate:.1f} a second)"
