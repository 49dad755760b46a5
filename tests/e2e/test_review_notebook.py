"""Ten thousand reviews as vectors, with fewer of them: the notebook runs top to bottom, and what it draws is there."""

import os
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/embeddings"
COUNT = 200
PICTURES = ("confusion.png", "likeness.png", "map.png", "search.png")


@pytest.fixture(scope="module")
def examples():
    """Its modules can be imported, as beside the notebook."""
    sys.path.insert(0, str(EXAMPLES))
    yield
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def run(served, tmp_path_factory):
    """The notebook after its run, and the folder that it wrote."""
    folder = tmp_path_factory.mktemp("reviews")
    notebook = nbformat.read(EXAMPLES / "reviews.ipynb", as_version=4)
    environ = {"FASTCHAT_BASEURL": served.url, "REVIEWS_COUNT": str(COUNT), "REVIEWS_FOLDER": str(folder)}
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(EXAMPLES)}})
    return client.execute(env=os.environ | environ), folder


def outputs(notebook, kind):
    """What all cells show of a kind of data."""
    shown = [output["data"] for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    return [data[kind] for data in shown if kind in data]


def test_every_picture_is_shown_and_written(run):
    notebook, folder = run
    assert len(outputs(notebook, "image/png")) == len(PICTURES)
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_each_review_is_embedded_once(run):
    notebook, _ = run
    assert any(f"{COUNT} computed, {COUNT} vectors of 384 numbers" in text for text in outputs(notebook, "text/plain"))


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(EXAMPLES / "reviews.ipynb", as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]


def test_what_was_embedded_before_an_error_is_not_embedded_again(examples, tmp_path):
    from store import fill, opened

    texts, asked = [f"text {number}" for number in range(40)], []

    def embed(part: list[str]) -> list[list[float]]:
        asked.append(part)
        if len(asked) == 3:
            raise ConnectionError("the gateway is gone")
        return [[float(text.removeprefix("text ")), 1.0] for text in part]

    with opened(tmp_path / "vectors.sqlite", "model") as store:
        with pytest.raises(ConnectionError, match="gateway is gone"):
            fill(store, texts, embed, batch=5, concurrency=1)
        kept = len(texts) - len(store.missing(texts))
        assert 0 < kept < len(texts)
        assert fill(store, texts, embed, batch=5, concurrency=3) == len(texts) - kept
        assert np.array_equal(store.load(texts)[:, 0], np.arange(len(texts)))
        assert fill(store, texts, embed) == 0


def test_models_do_not_share_vectors(examples, tmp_path):
    from store import opened

    with opened(tmp_path / "vectors.sqlite", "one") as store:
        store.add(["text"], [[1.0, 2.0]])
    with opened(tmp_path / "vectors.sqlite", "other") as store:
        assert store.missing(["text", "text"]) == ["text"]


def test_made_up_reviews_are_the_same_each_time_and_all_different(examples):
    import corpus

    first, again, other = corpus.generate(500), corpus.generate(500), corpus.generate(500, seed=1)
    assert first.equals(again)
    assert not first.equals(other)
    assert first["Text"].is_unique
    assert set(first["Score"]) == {1, 2, 3, 4, 5}
    assert not first["Text"].str.contains("[{}]").any()
