"""`python3 -m fastchat.serve.model_worker --model-name NAME --model-path PATH`: FastChat's worker, now ours."""

from fastchat._runtime.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

import sys
from collections.abc import Sequence
from pathlib import Path

from fastchat.serve.parser import Parser, become

_NO_CONTROLLER = "there is no controller any more; give the worker's URL to fastchat.serve.api --worker"
_NOTES = {
    "--controller-address": _NO_CONTROLLER,
    "--controller": _NO_CONTROLLER,
    "--worker-address": _NO_CONTROLLER,
    "--no-register": _NO_CONTROLLER,
    "--stream-interval": "every token is streamed",
    "--debug": "the worker logs what went wrong",
}
_QUANTIZED = "take a GGUF file, or a ModelDeployment with engine VLLM for GPTQ and AWQ"
_REFUSED = {
    "--max-gpu-memory": "bound the memory with --max-model-len and --max-batch-size",
    "--cpu-offloading": _QUANTIZED,
    **dict.fromkeys(("--gptq-ckpt", "--gptq-wbits", "--gptq-groupsize", "--gptq-act-order"), _QUANTIZED),
    **dict.fromkeys(("--awq-ckpt", "--awq-wbits", "--awq-groupsize"), _QUANTIZED),
    **dict.fromkeys(
        ("--enable-exllama", "--exllama-max-seq-len", "--exllama-gpu-split", "--exllama-cache-8bit"), _QUANTIZED
    ),
    **dict.fromkeys(("--enable-xft", "--xft-max-seq-len", "--xft-dtype"), "use --dtype and --max-model-len"),
    "--embed-in-truncate": "send truncate_prompt_tokens -1 with the request",
    "--seed": "send seed with the request",
    "--ssl": "put a proxy that speaks TLS in front of the gateway",
}
_PASSED_ON = (
    *("--host", "--port", "--task", "--device", "--dtype", "--chat-template"),
    *("--max-model-len", "--max-batch-size", "--max-queue"),
)


def translate(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Our worker's arguments and environment for those of FastChat's; exits with 2 for what cannot be translated."""
    parser = Parser("fastchat.serve.model_worker")
    parser.add_argument(
        "--model-path", required=True, help="folder, GGUF file, org/name on the Hugging Face Hub, or URL"
    )
    parser.add_argument("--model-name", "--model-names", help="name in API requests; default: the end of the path")
    parser.add_argument("--revision", default="main", help="branch, tag or commit on the Hugging Face Hub")
    parser.add_argument("--gpus", help="which GPU to use, by its number")
    parser.add_argument("--num-gpus", type=int, default=1, help="GPUs that share the model, a part of every layer each")
    parser.add_argument("--limit-worker-concurrency", "--limit-model-concurrency", dest="max_batch_size")
    parser.add_argument(
        "--trust-remote-code", "--trust_remote_code", action="store_true", help="run a model's own code"
    )
    for flag in _PASSED_ON:
        parser.add_argument(flag, help="as `python -m fastchat_worker` has it")
    parser.add_argument(
        "--conv-template",
        dest="chat_template",
        metavar="NAME",
        help="how conversations are put into words, such as vicuna_v1.1; default: as the model says, or its name",
    )
    parser.add_argument("--load-8bit", action="store_true", help="weights in int8, on the CPU: --quantization int8")
    parser.set_defaults(host="localhost", port="21002")
    parser.note(_NOTES)
    parser.refuse(_REFUSED)
    args = parser.parse_args(argv)
    name = args.model_name or args.model_path.rstrip("/").rpartition("/")[2]
    if "," in name:
        parser.error("a worker serves one name: give the others to fastchat.serve.api as --alias OTHER=NAME")
    passed = [(flag, getattr(args, flag[2:].replace("-", "_"))) for flag in _PASSED_ON]
    arguments = ["--model-name", name, "--model-path", _source(args.model_path, args.revision)]
    arguments += ["--tensor-parallel-size", str(args.num_gpus)]
    arguments += [word for flag, value in passed if value is not None for word in (flag, value)]
    arguments += ["--quantization", "int8"] if args.load_8bit else []
    arguments += ["--trust-remote-code"] if args.trust_remote_code else []
    return arguments, {"CUDA_VISIBLE_DEVICES": args.gpus} if args.gpus else {}


def _source(path: str, revision: str) -> str:
    """A revision is of a model on the Hugging Face Hub; the worker takes a path that is not there for one."""
    if revision == "main" or "://" in path or Path(path).exists():
        return path
    name, colon, file = path.partition(":")
    return f"{name}@{revision}{colon}{file}"


if __name__ == "__main__":
    become("fastchat_worker", *translate(sys.argv[1:]))
