"""Prints what lm-eval's `local-completions` computes for pairs of context and continuation, as JSON.

Arguments: a folder with the model's tokenizer, and the pairs as JSON. OPENAI_BASE_URL says where the model is served.
"""

import json
import os
import sys

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI

tokenizer, pairs = sys.argv[1], [tuple(pair) for pair in json.loads(sys.argv[2])]
model = LocalCompletionsAPI(
    model="smollm2",
    base_url=os.environ["OPENAI_BASE_URL"] + "/completions",
    tokenizer=tokenizer,
    tokenizer_backend="huggingface",
    max_length=2048,
    batch_size=2,
    num_concurrent=2,
)
requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
print(json.dumps(model.loglikelihood(requests, disable_tqdm=True)))
