"""`fastchat ask "…"`: one question, for pipes and scripts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fastchat.cli import options
from fastchat.cli.console import say, show_json
from fastchat.cli.errors import CommandError

LONGEST_INPUT = 8 * 2**20
"""Bytes of stdin; a gateway takes bodies of this size."""


def ask(
    question: Annotated[
        str | None, typer.Argument(metavar="[QUESTION]", help="stdin, if there is any, is put behind it")
    ] = None,
    model: options.Model = None,
    system: options.System = None,
    schema: Annotated[
        Path | None, typer.Option("--schema", metavar="FILE", help="JSON schema that the answer has to keep")
    ] = None,
    settings: options.Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the whole response, usage and all")] = False,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    namespace: options.OfServer = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Ask one question; the answer goes to stdout as it comes.

    Ends with 1 where there is no answer, and where one with --schema was cut off: it is no JSON then.
    """
    from fastchat.cli import connection
    from fastchat.cli.chat.conversation import Conversation

    conversation = Conversation(system=system or "")
    for setting in settings or ():
        conversation.set(setting)
    if schema is not None:
        conversation.settings["response_format"] = _format(schema)
    conversation.ask(_whole_question(question))
    with connection.server(url, api_key, namespace, context, kubeconfig).client() as client:
        conversation.model = connection.choose_model(client, "Generate", model)
        finish_reason = (_show_response if as_json else _show_stream)(client, conversation)
    if finish_reason == "length" and schema is not None:
        raise CommandError("the answer was cut off, and is no JSON: allow more with --set max_tokens=N")
    if finish_reason == "length":
        say("(cut off: the limit of tokens is reached)")


def _whole_question(question: str | None) -> str:
    """What was given, and behind it what stdin has, if it is no terminal."""
    import sys

    piped = "" if sys.stdin is None or sys.stdin.isatty() else _stdin()
    text = "\n\n".join(part for part in (question, piped) if part and part.strip())
    if not text:
        raise typer.BadParameter("there is no question: give it as an argument, or on stdin")
    return text


def _stdin() -> str:
    import sys

    data = sys.stdin.buffer.read(LONGEST_INPUT + 1)
    if len(data) > LONGEST_INPUT:
        raise CommandError(f"stdin has more than {LONGEST_INPUT >> 20} MiB, which no gateway takes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CommandError("stdin is no text in UTF-8") from None


def _format(path: Path) -> dict[str, Any]:
    """OpenAI's `response_format` for the schema in a file."""
    import json

    try:
        schema = json.loads(path.read_text())
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{path} holds no JSON: {error}") from None
    if not isinstance(schema, dict | bool):
        raise CommandError(f'{path} holds no schema: it is an object, such as {{"type": "object"}}')
    return {"type": "json_schema", "json_schema": {"name": "response", "schema": schema, "strict": True}}


def _show_response(client: Any, conversation: Any) -> str | None:
    """Print the response as it came. Returns the finish reason."""
    completion = client.chat.completions.create(
        model=conversation.model, messages=conversation.messages, **conversation.settings
    )
    show_json(completion.to_dict())
    return completion.choices[0].finish_reason if completion.choices else None


def _show_stream(client: Any, conversation: Any) -> str | None:
    """Print the answer as it comes. Returns the finish reason."""
    from fastchat.cli.text import Writer

    writer, finish_reason = Writer(), None
    chunks = client.chat.completions.create(
        model=conversation.model, messages=conversation.messages, stream=True, **conversation.settings
    )
    try:
        with chunks:
            for choice in (choice for chunk in chunks for choice in chunk.choices):
                writer.reasoning(choice.delta.reasoning_content or choice.delta.reasoning or "")
                writer.content(choice.delta.content or "")
                finish_reason = choice.finish_reason or finish_reason
    finally:
        writer.end()
    return finish_reason
