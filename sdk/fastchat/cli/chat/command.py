"""The command line of `fastchat chat`."""

from pathlib import Path
from typing import Annotated

import typer

from fastchat.cli import options


def chat(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="default: the first that the server has for it")
    ] = None,
    system: options.System = None,
    settings: options.Settings = None,
    load: Annotated[
        Path | None, typer.Option("--load", metavar="FILE", help="go on with a conversation that /save wrote")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="tell tokens and times of each answer")] = False,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    namespace: options.OfServer = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Talk with a model.

    Lines end with Enter; a text of several lines stands between two \"\"\", or each but the last ends with \\.
    Ctrl-C stops an answer, Ctrl-D ends; /help lists the commands.
    """
    from fastchat.cli import connection
    from fastchat.cli.chat.conversation import Conversation
    from fastchat.cli.chat.loop import talk

    with connection.server(url, api_key, namespace, context, kubeconfig).client() as client:
        conversation = Conversation.loaded(load) if load else Conversation()
        for setting in settings or ():
            conversation.set(setting)
        if system is not None:
            conversation.system = system
        if model or not conversation.model:
            conversation.model = connection.choose_model(client, "Generate", model)
        talk(client, conversation, verbose=verbose)
