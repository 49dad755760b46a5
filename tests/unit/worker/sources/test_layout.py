"""Which files make a model."""

import pytest

from fastchat_worker.errors import LoadError
from fastchat_worker.sources.layout import layout_of

TOKENIZER = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
CONFIG = ["config.json", "generation_config.json", *TOKENIZER]


def _taken(*paths: str) -> set[str]:
    return set(layout_of([*CONFIG, *paths], "x").files) - set(CONFIG)


READ = {
    "tokenizer": "merges.txt tokenizer.model",
    "templates": "chat_template.jinja additional_chat_templates/tool.jinja",
    "weights": "model-00001-of-00002.safetensors pytorch_model.bin",
    "code": "modeling.py sub/x.py",
}
LEFT = {
    "programs": "onnx/model.bin sub/model.onnx openvino/openvino_model.bin coreml/x.mlpackage/y tf_model.h5",
    "copies": "original/consolidated.00.pth flax_model.msgpack model-q4.gguf other/pytorch_model.bin",
    "training": "training_args.bin optimizer.pt runs/x/events.out.tfevents checkpoint-500/model.safetensors",
    "rest": "README.md .gitattributes adapter_model.safetensors",
}


@pytest.mark.parametrize("path", " ".join(READ.values()).split())
def test_what_transformers_reads_is_taken(path):
    assert _taken(path) == {path}


@pytest.mark.parametrize("path", " ".join(LEFT.values()).split())
def test_what_it_does_not_read_is_left(path):
    assert _taken("model.safetensors", path) == {"model.safetensors"}


@pytest.mark.parametrize("copy", [
    ["pytorch_model.bin"],
    ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"],
    ["consolidated.safetensors"],
    ["consolidated.00.pth"],
    ["model.fp16.safetensors"],
])  # fmt: skip
def test_weights_are_taken_once(copy):
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert _taken(*shards, *copy) == set(shards)
    assert _taken("model.safetensors", *copy) == {"model.safetensors"}


def test_without_safetensors_the_others_are_taken():
    shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"]
    assert _taken(*shards) == set(shards)
    assert _taken("pytorch_model.bin", "adapter_model.safetensors") == {"pytorch_model.bin"}


def test_layers_of_a_sentence_model_keep_their_weights_in_folders():
    files = ["modules.json", "config.json", "model.safetensors", "1_Pooling/config.json", "2_Dense/model.safetensors"]
    copies = ["pytorch_model.bin", "2_Dense/pytorch_model.bin", "onnx/model.onnx", "openvino/openvino_model.bin"]
    assert layout_of([*files, *copies], "x").files == set(files)
    only_pickled = [*files[:3], "2_Dense/pytorch_model.bin"]
    assert layout_of(only_pickled, "x").files == set(only_pickled)


@pytest.mark.parametrize("name", ["config.json", "modules.json"])
def test_a_configuration_goes_before_gguf_files(name):
    layout = layout_of([name, "a.gguf", "model.safetensors"], "x")
    assert (layout.gguf, layout.files) == (None, {name, "model.safetensors"})


def test_files_in_folders_below_make_no_model():
    with pytest.raises(LoadError, match=r"x holds no model: neither config.json nor a \.gguf file"):
        layout_of(["sub/config.json", "sub/a.gguf"], "x")


def test_an_adapter_is_no_model():
    with pytest.raises(LoadError, match="x holds an adapter and no model: merge it"):
        layout_of(["adapter_config.json", "adapter_model.safetensors"], "x")


def test_a_single_gguf_file_is_the_model_and_all_of_it():
    layout = layout_of(["a.gguf", "mmproj-a.gguf", "imatrix.dat", "README.md"], "x")
    assert (layout.gguf, layout.files) == ("a.gguf", {"a.gguf"})


GGUF = ["m.Q4_K_M.gguf", "m.Q4_K_S.gguf", "m-Q8_0.gguf", "BF16/m-BF16-00001-of-00002.gguf",
        "BF16/m-BF16-00002-of-00002.gguf"]  # fmt: skip


def test_several_gguf_files_are_named():
    with pytest.raises(LoadError) as refused:
        layout_of(GGUF, "x", deep=True)
    assert str(refused.value) == (
        "x holds several GGUF files; name one of BF16/m-BF16-*.gguf, m-Q8_0.gguf, m.Q4_K_M.gguf, m.Q4_K_S.gguf"
    )


@pytest.mark.parametrize(
    ("file", "means"),
    [("Q4_K_M", "m.Q4_K_M.gguf"), ("q4_k_s", "m.Q4_K_S.gguf"), ("Q8_0", "m-Q8_0.gguf"), ("m-Q8_0.gguf", "m-Q8_0.gguf")],
)
def test_one_of_several_is_named_by_a_word_or_its_path(file, means):
    layout = layout_of([*GGUF, "config.json"], "x", file, deep=True)
    assert (layout.gguf, layout.files) == (means, {means})


def test_a_word_that_none_has_is_told_with_those_there_are():
    with pytest.raises(LoadError, match=r"x has no GGUF file Q4_K; it has BF16/m-BF16-\*\.gguf, m-Q8_0\.gguf, "):
        layout_of(GGUF, "x", "Q4_K", deep=True)


def test_a_word_that_several_have_is_told():
    with pytest.raises(LoadError, match=r"several GGUF files; name one of UD-Q8_0\.gguf, m-Q8_0\.gguf$"):
        layout_of([*GGUF, "UD-Q8_0.gguf"], "x", "Q8_0")


@pytest.mark.parametrize("file", ["BF16", "BF16/m-BF16-00001-of-00002.gguf"])
def test_a_split_file_is_refused_with_what_to_do(file):
    with pytest.raises(LoadError, match=r"x: BF16/m-BF16 is split into 2 files, which transformers cannot read: merge"):
        layout_of(GGUF, "x", file, deep=True)


def test_a_word_for_a_model_without_gguf_files_is_refused():
    with pytest.raises(LoadError, match="x has no GGUF file at all: leave Q8_0 out"):
        layout_of([*CONFIG, "model.safetensors"], "x", "Q8_0")
