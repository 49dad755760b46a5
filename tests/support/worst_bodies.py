"""The bodies that were found to be the most work to refuse, as large as a body may be, by what is in them."""

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
TOKEN_CHECK = "/api/v1/token_check"

_SIZE = 8 * 2**20 - 1000

Bodies = dict[str, tuple[str, bytes]]
"""What is in it → where it is sent, and the body."""


def at_gateway(model: str, alias: str) -> Bodies:
    """What a gateway itself refuses."""
    prompt = f'{{"prompts":[{{"model":"{model}","prompt":'
    return {
        "token_check: prompts without anything": (TOKEN_CHECK, _filled('{"prompts":[', "{},", "{}]}")),
        "token_check: prompts": (TOKEN_CHECK, _filled('{"prompts":[', f'{prompt[12:]}"x"}},', "{}]}")),
        "token_check: unknown fields": (TOKEN_CHECK, f'{prompt}"x",{_fields(600_000)}}}]}}'.encode()),
        "token_check: 32,000 unknown fields": (TOKEN_CHECK, f'{prompt}"x",{_fields(32_000)}}}]}}'.encode()),
        "token_check: a prompt of texts": (TOKEN_CHECK, _filled(prompt + "[", '"",', '""]}]}')),
        "token_check: quotes, then nonsense": (TOKEN_CHECK, _filled(prompt + '"', '\\",', '"}]')),
        "token_check: deep nesting": (TOKEN_CHECK, _filled('{"prompts":', "[", "")),
        "chat: lists, no model": (CHAT, _filled('{"x":[', "[],", "[]]}")),
        "chat: objects, no model": (CHAT, _filled('{"x":[', "{},", "{}]}")),
        "chat: numbers, no model": (CHAT, _filled('{"x":[', "1,", "1]}")),
        "chat: fields under an alias": (CHAT, f'{{"model":"{alias}",{_fields(600_000)}}}'.encode()),
        "completions: no UTF-8 at the end": (
            COMPLETIONS,
            _filled(f'{{"model":"{model}","x":"', "é", '"}')[:-3] + b'"}',
        ),
        "embeddings: an endless model": (EMBEDDINGS, _filled('{"model":"', "\\u00e9", '"}')),
    }


def at_worker(model: str) -> Bodies:
    """What a worker refuses."""
    begin = f'{{"model":"{model}",'
    message = begin + '"messages":[{"role":"user","content":'
    return {
        "chat: messages without anything": (CHAT, _filled(begin + '"messages":[', "{},", "{}]}")),
        "chat: parts without anything": (CHAT, _filled(message + "[", "{},", "{}]}]}")),
        "chat: 10,000 parts, the last one wrong": (
            CHAT,
            (message + "[" + '{"type":"text","text":""},' * 10_000 + "{}]}]}").encode(),
        ),
        "chat: unknown fields": (CHAT, f'{begin}"messages":[],{_fields(600_000)}}}'.encode()),
        "chat: 32,000 unknown fields": (CHAT, f'{begin}"messages":[],{_fields(32_000)}}}'.encode()),
        "chat: 32,000 unknown fields of a message": (CHAT, f'{message}"x",{_fields(32_000)}}}]}}'.encode()),
        "chat: 32,000 unknown fields of a part": (
            CHAT,
            f'{message}[{{"type":"text","text":"",{_fields(32_000)}}}]}}]}}'.encode(),
        ),
        "chat: 32,000 unknown options": (
            CHAT,
            f'{message}"x"}}],"stream":true,"stream_options":{{{_fields(32_000)}}}}}'.encode(),
        ),
        "chat: 32,000 numbers as metadata": (CHAT, f'{message}"x"}}],"metadata":{{{_fields(32_000)}}}}}'.encode()),
        "chat: 32,000 biases that are none": (
            CHAT,
            f'{message}"x"}}],"logit_bias":{{{_fields(32_000, "[]")}}}}}'.encode(),
        ),
        "chat: 1,000 unknown fields of everything": (CHAT, _full_of_fields(model)),
        "chat: biases": (CHAT, f'{message}"x"}}],"logit_bias":{{{_fields(32_000)}}}}}'.encode()),
        "chat: tools": (CHAT, _filled(message + '"x"}],"tools":[', "[],", "[]]}")),
        "chat: 262,000 names of tools": (CHAT, (message + '"x"}],"tools":[' + '"ab",' * 262_000 + "0]}").encode()),
        "chat: text": (CHAT, _filled(message + '"', "! ", '"}]}')),
        "chat: deep nesting": (CHAT, _filled(begin + '"messages":', "[", "")),
    } | _without_messages(begin)


def _without_messages(begin: str) -> Bodies:
    """What a worker refuses of everything but chats; `begin` is the beginning of a body that names the model."""
    return {
        "completions: lists": (COMPLETIONS, _filled(begin + '"prompt":[', "[],", "[]]}")),
        "completions: empty texts": (COMPLETIONS, _filled(begin + '"prompt":[', '"",', '""]}')),
        "completions: tokens": (COMPLETIONS, _filled(begin + '"prompt":[', "1,", "1]}")),
        "completions: 262,000 tokens": (COMPLETIONS, (begin + '"prompt":[' + "1," * 262_000 + "1]}").encode()),
        "completions: a long number": (COMPLETIONS, _filled(begin + '"prompt":', "9", "}")),
        "completions: text": (COMPLETIONS, _filled(begin + '"prompt":"', ". ", '"}')),
        "completions: text that may just fit": (COMPLETIONS, (begin + '"prompt":"' + ". " * 2**17 + '"}').encode()),
        "embeddings: text": (EMBEDDINGS, _filled(begin + '"input":"', ". ", '"}')),
        "embeddings: texts that are too many": (
            EMBEDDINGS,
            (begin + '"input":[' + f'"{". " * 120}",' * 2047 + '""]}').encode(),
        ),
        "token_check: prompts without anything": (TOKEN_CHECK, _filled('{"prompts":[', "{},", "{}]}")),
        "token_check: 32,000 unknown fields": (TOKEN_CHECK, f'{{"prompts":[{{{_fields(32_000)}}}]}}'.encode()),
    }


def _full_of_fields(model: str) -> bytes:
    """As many as an object may have, in each object of which several are looked at."""
    fields = _fields(1000)
    part = f'{{"type":"text","text":"",{fields}}}'
    message = f'{{"role":"user","content":[{part}],{fields}}}'
    more = "".join(f',"{name}":{{{fields}}}' for name in ("stream_options", "metadata"))
    return (
        f'{{"model":"{model}","messages":[{message}],"logit_bias":{{{_fields(1000, "[]")}}}{more},{fields}}}'.encode()
    )


def _filled(before: str, unit: str, after: str) -> bytes:
    size = (_SIZE - len(before) - len(after)) // len(unit.encode())
    return (before + unit * size + after).encode()


def _fields(count: int, value: str = "1") -> str:
    return ",".join(f'"x{number}":{value}' for number in range(count))
