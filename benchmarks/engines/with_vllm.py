"""vLLM with weights that it makes up, in the environment that it is installed in.

    python -m engines.with_vllm FOLDER SEQUENCES

What it does by itself stays on: CUDA graphs, its compiler, its own choice of attention and of tokens in a step. No
prefix is reused, as in the others.
"""

import sys
from contextlib import contextmanager

import vllm
from engines.protocol import serve

LENGTH = 2048


class VLLM:
    """An engine for so many sequences."""

    def __init__(self, folder: str, sequences: int):
        self.engine = vllm.LLM(
            model=folder, load_format="dummy", dtype="bfloat16", skip_tokenizer_init=True, max_model_len=LENGTH,
            max_num_seqs=sequences, enable_prefix_caching=False,
        )  # fmt: skip

    @contextmanager
    def session(self, prompts, tokens):
        yield lambda: self.generate(prompts, tokens)

    def generate(self, prompts, tokens):
        sampling = vllm.SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True, detokenize=False)
        read = [{"prompt_token_ids": prompt} for prompt in prompts]
        return [list(each.outputs[0].token_ids) for each in self.engine.generate(read, sampling, use_tqdm=False)]


if __name__ == "__main__":
    engine = VLLM(sys.argv[1], int(sys.argv[2]))
    serve(f"vLLM {vllm.__version__}", engine.session)
