"""FastChat 0.2.36 itself as the yardstick of conversations."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from support.clients import environments
from support.clients.fschat import LOCK

Dialogue = Sequence[tuple[str, str | None]]
"""(role, text); the text of a turn that the model is to write is None."""

_ASK = """
import contextlib, importlib.abc, importlib.machinery, json, sys, types, unittest.mock

class Hollow(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    # Its adapters import torch, transformers and more, of which nothing is needed to know a conversation by name.
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("accelerate", "huggingface_hub", "psutil", "torch", "transformers"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        module = unittest.mock.MagicMock(name=spec.name, __version__="4.40.0")
        module.__path__, module.__spec__ = [], spec
        return module
    def exec_module(self, module):
        pass

sys.meta_path.append(Hollow())
from fastchat.conversation import conv_templates, get_conv_template
from fastchat.model.model_adapter import get_conversation_template

def prompt(name, dialogue):
    conversation = get_conv_template(name)
    for role, text in dialogue:
        if role == "system":
            conversation.set_system_message(text)
        else:
            conversation.append_message(conversation.roles[role == "assistant"], text)
    return conversation.get_prompt()

asked = json.load(sys.stdin)
described = {
    name: {
        "stop_str": each.stop_str,
        "stop_token_ids": each.stop_token_ids,
        "prompts": [prompt(name, dialogue) for dialogue in asked["dialogues"]] if each.sep_style else None,
    }
    for name, each in conv_templates.items()
}
with contextlib.redirect_stdout(sys.stderr):  # it prints warnings
    chosen = {path: get_conversation_template(path).name for path in asked["paths"]}
json.dump({"conversations": described, "chosen": chosen}, sys.stdout)
"""


def ask(dialogues: Sequence[Dialogue], paths: Sequence[str]) -> Mapping[str, Any]:
    """What FastChat says, in one run.

    conversations: name → stop_str, stop_token_ids, and prompts (one for each dialogue; None where it has no style).
    chosen: path → the name of the conversation that it takes for such a model.
    """
    asked = json.dumps({"dialogues": dialogues, "paths": paths})
    python = str(environments.python("fschat", LOCK))
    done = subprocess.run(
        [python, "-c", _ASK], input=asked, capture_output=True, text=True, check=False, env=environments.environ()
    )
    assert done.returncode == 0, done.stderr
    answer: Mapping[str, Any] = json.loads(done.stdout)
    return answer
