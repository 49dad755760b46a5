"""An embedding model's vectors are those of sentence-transformers' own `encode`, `encode_query`, `encode_document`."""

import numpy as np
import pytest
import torch
from support.models.encoders import SPECIAL, WORDS, tokenizer
from tokenizers import Tokenizer

from fastchat_worker.encoders.text import PLAIN, Reading
from fastchat_worker.errors import RequestError

TEXTS = ["the cat sat on the mat .", "dog", "a b c and the dog ran far ! ? and on the mat a cat sat", "?"]
QUERY, DOCUMENT = Reading("query"), Reading("document")
PROMPTS = {"query": "query : ", "passage": "document : the ", "sat": "sat on "}


def vectors(embedder, reading=PLAIN, texts=TEXTS) -> np.ndarray:
    """As a request without `dimensions` gets them; all texts in one batch."""
    rows = embedder.encode(embedder.read(texts, str, reading))
    return np.stack([embedder.dimensions.cut(row, None) for row in rows])


def same(found, expected) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.fixture
def modules():
    from sentence_transformers.base.modules import Dense, Normalize, Router
    from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding

    class Modules:
        dense, normalize, router = Dense, Normalize, Router
        pooling, static = Pooling, StaticEmbedding

    return Modules


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken", "weightedmean", ("mean", "max")])
def test_pooling_is_as_configured(bert, load, modules, mode):
    embedder, yardstick = load(bert(), modules.pooling(32, mode))
    same(vectors(embedder), yardstick.encode(TEXTS))


@pytest.mark.parametrize("normalised", [False, True])
def test_a_dense_layer_and_normalisation_are_as_configured(bert, load, modules, normalised):
    torch.manual_seed(1)
    last = [modules.normalize()] if normalised else []
    embedder, yardstick = load(bert(), modules.pooling(32), modules.dense(32, 8), *last)
    found = vectors(embedder)
    same(found, yardstick.encode(TEXTS))
    assert embedder.dimensions.unit == normalised
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5) == normalised


def test_each_way_of_reading_has_the_prompt_that_encode_gives_it(bert, load, modules):
    embedder, yardstick = load(bert(), modules.pooling(32), prompts=PROMPTS)
    same(vectors(embedder), yardstick.encode(TEXTS))
    same(vectors(embedder, QUERY), yardstick.encode_query(TEXTS))
    same(vectors(embedder, DOCUMENT), yardstick.encode_document(TEXTS))
    same(vectors(embedder, Reading(prompt_name="sat")), yardstick.encode(TEXTS, prompt_name="sat"))
    same(vectors(embedder, Reading("query", "sat")), yardstick.encode_query(TEXTS, prompt_name="sat"))
    same(vectors(embedder, Reading(hint="sat")), yardstick.encode(TEXTS, prompt_name="sat"))
    same(vectors(embedder, Reading(hint="clustering")), yardstick.encode(TEXTS))
    assert not np.allclose(vectors(embedder), vectors(embedder, QUERY), atol=1e-2)


def test_the_default_prompt_is_put_before_texts_for_which_no_other_is_named(bert, load, modules):
    embedder, yardstick = load(bert(), modules.pooling(32), prompts=PROMPTS, default_prompt_name="sat")
    same(vectors(embedder), yardstick.encode(TEXTS))
    same(vectors(embedder, QUERY), yardstick.encode_query(TEXTS))
    same(vectors(embedder, Reading(hint="clustering")), yardstick.encode(TEXTS))


def test_a_prompt_that_does_not_count_for_the_mean_does_not(bert, load, modules):
    embedder, yardstick = load(bert(), modules.pooling(32, include_prompt=False), prompts=PROMPTS)
    same(vectors(embedder, QUERY), yardstick.encode_query(TEXTS))


def test_queries_and_documents_take_the_routes_of_their_own(bert, load, modules):
    query = [bert("one", seed=1), modules.pooling(32)]
    document = [bert("two", seed=2), modules.pooling(32, "cls")]
    router = modules.router.for_query_document(query, document)
    embedder, yardstick = load(router, modules.normalize())
    same(vectors(embedder), yardstick.encode(TEXTS))
    same(vectors(embedder, QUERY), yardstick.encode_query(TEXTS))
    same(vectors(embedder, DOCUMENT), yardstick.encode_document(TEXTS))
    assert not np.allclose(vectors(embedder, QUERY), vectors(embedder, DOCUMENT), atol=1e-2)


def test_a_model_without_a_default_route_asks_for_the_input_type(bert, load, modules):
    query, document = ([bert(name, seed=seed), modules.pooling(32)] for name, seed in (("one", 1), ("two", 2)))
    router = modules.router.for_query_document(query, document, default_route=None, allow_empty_key=False)
    embedder, yardstick = load(router)
    same(vectors(embedder, QUERY), yardstick.encode_query(TEXTS))
    with pytest.raises(RequestError, match="input_type"):
        embedder.read(["a"], str)


def test_a_static_model_has_the_vectors_of_its_tokens(load, modules):
    torch.manual_seed(3)
    words: Tokenizer = tokenizer()._tokenizer
    embedder, yardstick = load(modules.static(words, embedding_dim=16), modules.normalize())
    same(vectors(embedder), yardstick.encode(TEXTS))


def test_the_last_token_of_a_language_model_counts_whichever_side_is_padded(load, modules, tmp_path):
    import transformers
    from sentence_transformers.base.modules import Transformer

    torch.manual_seed(4)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.Qwen2Config(vocab_size=len(SPECIAL) + len(WORDS), num_key_value_heads=2, **sizes)
    transformers.Qwen2Model(config).save_pretrained(tmp_path / "qwen")
    tokenizer(padding_side="left").save_pretrained(tmp_path / "qwen")
    prompts = {"query": "query : ", "document": ""}
    module = Transformer(str(tmp_path / "qwen"))
    embedder, yardstick = load(module, modules.pooling(32, "lasttoken"), modules.normalize(), prompts=prompts)
    same(vectors(embedder, QUERY), yardstick.encode_query(TEXTS))
    same(vectors(embedder, DOCUMENT), yardstick.encode_document(TEXTS))


def test_texts_that_come_as_tokens_have_the_vectors_of_the_same_texts_without_a_prompt(bert, load, modules):
    embedder, yardstick = load(bert(), modules.pooling(32), prompts=PROMPTS)
    tokens = [yardstick.tokenizer(text)["input_ids"] for text in TEXTS]
    same(vectors(embedder, texts=tokens), yardstick.encode(TEXTS))
    same(vectors(embedder, QUERY, tokens), yardstick.encode_query(TEXTS, prompt=""))


def test_what_a_truncate_dim_leaves_is_not_made_longer_again(bert, load, modules):
    embedder, yardstick = load(bert(), modules.pooling(32), modules.normalize(), truncate_dim=8)
    same(vectors(embedder), yardstick.encode(TEXTS))
    assert embedder.dimensions.default == 8


def test_cut_vectors_are_those_of_encode_made_one_long_again(bert, load, modules):
    embedder, yardstick = load(bert(), modules.pooling(32), modules.normalize(), option="any")
    rows = embedder.encode(embedder.read(TEXTS, str))
    found = np.stack([embedder.dimensions.cut(row, 5) for row in rows])
    same(found, yardstick.encode(TEXTS, truncate_dim=5, normalize_embeddings=True))


def test_a_text_cut_to_what_the_model_takes_has_the_vector_that_encode_gives_it(bert, load, modules):
    embedder, yardstick = load(bert(), modules.pooling(32), prompts=PROMPTS)
    long = ["the cat " * 99, "dog"]
    same(vectors(embedder, Reading("query", keep=-1), long), yardstick.encode_query(long))


def test_texts_can_be_cut_to_any_number_of_tokens(bert, load, modules):
    embedder, _ = load(bert(), modules.pooling(32))
    assert [len(embedder.read(["the cat " * 99], str, Reading(keep=keep))[0].tokens) for keep in (1, 2, 9, 99)] == [
        1,
        2,
        9,
        32,
    ]


@pytest.mark.parametrize("given", ["the spare0 cat", [2, 12, 23, 3]], ids=["text", "tokens"])
def test_a_token_that_the_model_does_not_have_is_named_with_its_place(bert, load, modules, given):
    embedder, _ = load(bert(spare=1), modules.pooling(32))
    with pytest.raises(RequestError) as refused:
        embedder.read([given], lambda _: "input[4]")
    assert (refused.value.status, refused.value.error.param) == (400, "input[4]")
    assert "token 23 at position 2" in refused.value.error.message


def test_a_text_that_looks_like_an_image_stays_a_text(bert, load, modules):
    embedder, yardstick = load(bert(), modules.pooling(32))
    texts = ["http://127.0.0.1:9/cat.png", "/etc/passwd.jpg"]
    same(vectors(embedder, texts=texts), yardstick.encode(texts))
