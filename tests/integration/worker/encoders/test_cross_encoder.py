"""A cross-encoder's scores are those of sentence-transformers' `CrossEncoder.predict`."""

from pathlib import Path

import numpy as np
import pytest
from support.models.encoders import save_bert, tokenizer

from fastchat_worker.errors import LoadError, RequestError

QUERY = "the cat"
DOCUMENTS = ["the cat sat on the mat .", "dog", "a b c and the dog ran far ! ?", "cat"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_bert(tmp_path / "cross", "BertForSequenceClassification", num_labels=1)


def scores(encoder, pairs, keep=None) -> np.ndarray:
    return encoder.encode(encoder.read_pairs(pairs, "documents[{}]".format, keep))


def test_pairs_have_the_scores_of_predict(folder, load_cross_encoder):
    encoder, yardstick = load_cross_encoder(folder)
    pairs = [(QUERY, document) for document in DOCUMENTS]
    found = scores(encoder, pairs)
    np.testing.assert_allclose(found, yardstick.predict(pairs), atol=1e-5)
    assert np.ptp(found) > 0.01


def test_a_configured_activation_is_used(tmp_path, load_cross_encoder):
    import torch
    from sentence_transformers import CrossEncoder

    plain = save_bert(tmp_path / "plain", "BertForSequenceClassification", num_labels=1)
    CrossEncoder(str(plain), activation_fn=torch.nn.Identity(), device="cpu").save(str(tmp_path / "saved"))
    encoder, yardstick = load_cross_encoder(tmp_path / "saved")
    pairs = [(QUERY, document) for document in DOCUMENTS]
    np.testing.assert_allclose(scores(encoder, pairs), yardstick.predict(pairs), atol=1e-5)
    assert scores(encoder, pairs).min() < 0 or scores(encoder, pairs).max() > 1


@pytest.mark.parametrize("query", [QUERY, "the cat sat " * 20])
def test_a_pair_that_is_too_long_is_cut_as_predict_cuts_it(folder, load_cross_encoder, query):
    encoder, yardstick = load_cross_encoder(folder)
    pairs = [(query, "the dog ran . " * 400), (query, "dog")]
    np.testing.assert_allclose(scores(encoder, pairs, keep=-1), yardstick.predict(pairs), atol=1e-5)


def test_a_pair_that_is_too_long_is_refused_where_it_may_not_be_cut(folder, load_cross_encoder):
    encoder, _ = load_cross_encoder(folder)
    with pytest.raises(RequestError, match="maximum context length is 32 tokens"):
        encoder.read_pairs([(QUERY, "dog " * 40)], "documents[{}]".format, None)


def test_a_model_with_several_scores_is_refused_at_load(tmp_path, load_cross_encoder):
    with pytest.raises(LoadError, match="one score; this one gives 3"):
        load_cross_encoder(save_bert(tmp_path / "three", "BertForSequenceClassification", num_labels=3))


def test_a_language_model_that_answers_yes_or_no_has_the_scores_of_predict(tmp_path, load_cross_encoder):
    import torch
    import transformers

    torch.manual_seed(5)
    folder, words = tmp_path / "causal", tokenizer(extra=("yes", "no"))
    words.chat_template = "{% for turn in messages %}{{ turn.role }} : {{ turn.content }} {% endfor %}?"
    words.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.Qwen2Config(vocab_size=len(words), num_key_value_heads=2, initializer_range=0.5, **sizes)
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder)
    encoder, yardstick = load_cross_encoder(folder)
    pairs = [(QUERY, document) for document in DOCUMENTS]
    found = scores(encoder, pairs)
    np.testing.assert_allclose(found, yardstick.predict(pairs), atol=1e-5)
    assert np.ptp(found) > 0.01
