"""OpenVINO GenAI's continuous batching.

    python -m engines.with_openvino MODEL.gguf float32|int8 THREADS

int8: the weights of a GGUF file in Q8_0 as OpenVINO reads them, everything else as it chooses, which on a CPU with
bfloat16 is to compute in that. float32: the weights of a file in float16, made float32 in its own format, because it
takes neither float32 from GGUF nor as long for such weights.
"""

import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openvino
import openvino_genai
from engines.protocol import serve
from openvino import opset13

FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


class GenAI:
    """A pipeline for sixteen sequences."""

    def __init__(self, path: Path, precision: str, threads: int):
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = 1  # GiB
        scheduler.max_num_batched_tokens, scheduler.max_num_seqs = 512, 16
        scheduler.enable_prefix_caching = False
        pipeline, properties = openvino_genai.ContinuousBatchingPipeline, {"INFERENCE_NUM_THREADS": threads}
        if precision == "float32":
            tokenizer = openvino_genai.Tokenizer(str(path))
            self.pipeline = pipeline(str(widened(path)), tokenizer, scheduler, "CPU", **properties, **FLOAT32)
        else:
            self.pipeline = pipeline(str(path), scheduler, "CPU", properties)

    @contextmanager
    def session(self, prompts, tokens):
        yield lambda: self.generate(prompts, tokens)

    def generate(self, prompts, tokens):
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos, config.do_sample = tokens, True, False
        requests = [
            self.pipeline.add_request(index, openvino.Tensor(np.array([prompt], np.int64)), config)
            for index, prompt in enumerate(prompts)
        ]
        while self.pipeline.has_non_finished_requests():
            self.pipeline.step()
        return [list(request.read_all()[0].generated_ids) for request in requests]


def widened(path: Path) -> Path:
    """The folder of a model in OpenVINO's format with weights in float32, made from a GGUF file in float16."""
    folder = path.with_suffix(".float32")
    if not (folder / "openvino_model.xml").exists():
        properties = {"enable_save_ov_model": True}  # saves it beside the file
        openvino_genai.ContinuousBatchingPipeline(str(path), openvino_genai.SchedulerConfig(), "CPU", properties)
        model = openvino.Core().read_model(path.with_name("openvino_model.xml"))
        for node in model.get_ops():
            if node.get_type_name() == "Convert":
                widen(node)
        folder.mkdir(exist_ok=True)
        openvino.save_model(model, folder / "openvino_model.xml", compress_to_fp16=False)
    return folder


def widen(convert) -> None:
    """Replaces a constant in float16 and its conversion by one in float32."""
    source = convert.input_value(0).get_node()
    if source.get_type_name() == "Constant" and source.get_output_element_type(0) == openvino.Type.f16:
        constant = opset13.constant(source.get_data().astype(np.float32))
        convert.output(0).replace(constant.output(0))


if __name__ == "__main__":
    engine = GenAI(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    serve(f"OpenVINO GenAI {openvino_genai.__version__}", engine.session)
