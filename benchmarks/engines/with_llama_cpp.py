"""llama.cpp by its batch interface: as many sequences as there are prompts decode together.

    python -m engines.with_llama_cpp MODEL.gguf THREADS

What it does by itself stays on: flash attention, keys and values in float16. Weights are not repacked, which with AMX
compiled in ends it by an illegal instruction where the system gives no leave to use AMX. A prompt is read in batches of
512 tokens. The greatest logit is found by numpy, which is quicker than its own sampler.
"""

import sys
from contextlib import contextmanager

import llama_cpp
import numpy as np
from engines.protocol import serve

SEQUENCES, LENGTH, BATCH = 16, 1024, 512


class Llama:
    """A model and a context for sixteen sequences."""

    def __init__(self, path: str, threads: int):
        llama_cpp.llama_log_set(_SILENT, None)
        llama_cpp.llama_backend_init()
        loading = llama_cpp.llama_model_default_params()
        loading.use_extra_bufts = False
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), loading)
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = SEQUENCES * LENGTH, SEQUENCES
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_threads = parameters.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        self.batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(vocabulary)

    @contextmanager
    def session(self, prompts, tokens):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)
        yield lambda: self.generate(prompts, tokens)

    def generate(self, prompts, tokens):
        made = [[token] for token in self.read(prompts)]
        for _ in range(tokens - 1):
            rows = [
                (text[-1], len(prompt) + len(text) - 1, sequence, True)
                for sequence, (prompt, text) in enumerate(zip(prompts, made, strict=True))
            ]
            for text, token in zip(made, self.step(rows), strict=True):
                text.append(token)
        return made

    def read(self, prompts):
        """The first new token of each prompt."""
        rows = [
            (token, position, sequence, position == len(prompt) - 1)
            for sequence, prompt in enumerate(prompts)
            for position, token in enumerate(prompt)
        ]
        return [token for at in range(0, len(rows), BATCH) for token in self.step(rows[at : at + BATCH])]

    def step(self, rows):
        """The tokens after those rows of (token, position, sequence, wanted) that are wanted."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for index, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[index], batch.pos[index], batch.logits[index] = token, position, wanted
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
        if code := llama_cpp.llama_decode(self.context, batch):
            raise RuntimeError(f"llama_decode returns {code}")
        return [self.greatest(index) for index, row in enumerate(rows) if row[3]]

    def greatest(self, index):
        logits = llama_cpp.llama_get_logits_ith(self.context, index)
        return int(np.ctypeslib.as_array(logits, (self.vocabulary,)).argmax())


@llama_cpp.llama_log_callback
def _SILENT(_level, _text, _data):  # noqa: N802
    pass


if __name__ == "__main__":
    llama = Llama(sys.argv[1], int(sys.argv[2]))
    serve(f"llama.cpp ({llama_cpp.__version__}, {llama_cpp.llama_print_system_info().decode()})", llama.session)
