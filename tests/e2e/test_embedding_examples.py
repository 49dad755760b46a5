"""The scripts of examples/embeddings, run as a user runs them, on models that are served."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "embeddings"
MINILM, SMOLLM2, OPENAI = "all-minilm-l6-v2", "smollm2", "text-embedding-3-small"
COFFEE = ["This coffee is strong and smells wonderful.", "The brew is bold and has a lovely aroma."]
DOG = ["My dog refuses to eat this food.", "Our puppy will not touch this kibble."]
TOPICS = {
    "delicious beans": "BEANS",
    "bad delivery": "DELIVERY",
    "dry food for a picky dog": "DOGFOOD",
    "organic puree for my baby": "BABYFOOD",
    "tea with bergamot": "BLACKTEA",
}
REVIEWS = {
    "Dry dog food: My dog is a picky eater, but he loves this kibble and it agrees with him.": "DOGFOOD",
    "Baby food: Our baby loves this organic puree.": "BABYFOOD",
    "Fresh coffee beans: I grind them every morning and the cup is smooth and not bitter.": "COFFEE",
}


def run(script, *args, **env):
    """Run a script with these variables, and none of the surroundings' that would send it elsewhere."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "FASTCHAT_"))}
    command = [sys.executable, str(EXAMPLES / script), *map(str, args)]
    return subprocess.run(command, env={**surroundings, **env}, capture_output=True, text=True, timeout=300)


def printed(script, *args, **env):
    """The lines that a script prints when all goes well."""
    done = run(script, *args, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def classified(served):
    """For each row of the table accuracy and macro F1 of the first and of the second question, dimensions, seconds."""
    rows = [line.split() for line in printed("classification.py", FASTCHAT_BASEURL=served.url)[3:]]
    return {name: [float(figure) for figure in figures] for name, *figures in rows}


def similarities(*args, **env):
    """The similarity of every two sentences in every model: {(sentence, sentence): {model: figure}}."""
    header, *lines = printed("similarity.py", *args, **env)
    models, table = header.split(), {}
    for line in lines:
        pair, *figures = line.rsplit(maxsplit=len(models))
        table[tuple(pair.rstrip().split(" / "))] = dict(zip(models, map(float, figures), strict=True))
    return table


@pytest.fixture(scope="module")
def products_found(served):
    """The ProductIds, without their numbers, of the three reviews nearest to each query: {(model, query): products}."""
    found = {}
    for model, queries in [(MINILM, TOPICS), (SMOLLM2, REVIEWS)]:
        lines = printed("search.py", *queries, "--top", "3", "--model", model, FASTCHAT_BASEURL=served.url)
        for block in "\n".join(lines).strip().split("\n\n"):
            heading, *reviews = block.splitlines()
            found[tuple(heading.split(": ", 1))] = [review.split()[1].rstrip("0123456789") for review in reviews]
    return found


@pytest.fixture
def openai():
    """A stand-in for OpenAI's server that is as strict, with two texts' vectors; `.requests` are those it got."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # http.server's name
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.requests.append((self.path, self.headers["Authorization"], body["model"]))
            unknown = set(body) - {"model", "input", "encoding_format", "dimensions", "user"}
            vectors = [{"index": i, "embedding": [3.0, 4.0 * i]} for i, _ in enumerate(body["input"])]
            error = {"error": {"message": f"Unrecognized request argument supplied: {', '.join(unknown)}"}}
            self.answer(400, error) if unknown else self.answer(200, {"object": "list", "data": vectors})

        def answer(self, status, body):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        server.env = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1"}
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_served_model_is_compared_once(classified):
    assert set(classified) == {"constant", MINILM, SMOLLM2}  # and the alias vicuna-7b-v1.1 is not


@pytest.mark.parametrize("model", [MINILM, SMOLLM2])
def test_positive_and_negative_reviews_are_told_apart_as_no_constant_answer_can(classified, model):
    assert classified["constant"][0] < 0.55
    assert classified[model][0] >= 0.72


@pytest.mark.parametrize("model", [MINILM, SMOLLM2])
def test_scores_are_told_better_than_by_a_constant_answer(classified, model):
    assert classified["constant"][2] < 0.35
    assert classified[model][2] >= 0.40


def test_a_comparison_says_what_the_embeddings_cost(classified):
    assert [classified[model][4] for model in (MINILM, SMOLLM2)] == [384, 576]
    assert classified[SMOLLM2][5] > 0


@pytest.mark.parametrize("model", [MINILM, SMOLLM2])
def test_sentences_that_say_the_same_are_nearest(served, model):
    table = similarities(*COFFEE, *DOG, "--model", model, FASTCHAT_BASEURL=served.url)
    same = [table.pop(tuple(pair))[model] for pair in (COFFEE, DOG)]
    assert len(table) == 4
    assert min(same) > max(figures[model] for figures in table.values())


@pytest.mark.parametrize(("query", "product"), TOPICS.items())
def test_a_few_words_find_reviews_of_what_they_mean(products_found, query, product):
    assert products_found[MINILM, query].count(product) >= 2


@pytest.mark.parametrize(("query", "product"), REVIEWS.items())
def test_a_language_model_finds_reviews_by_one_like_them(products_found, query, product):
    assert product in products_found[SMOLLM2, query]


def test_a_search_shows_as_many_reviews_as_asked_for(products_found):
    assert {len(products) for products in products_found.values()} == {3}


def test_a_text_longer_than_the_context_is_cut(served):
    short, long = "good " * 300, "good " * 3000  # MiniLM takes 256 tokens
    table = similarities(short, long, "--model", MINILM, FASTCHAT_BASEURL=served.url)
    assert [figures[MINILM] for figures in table.values()] == [1.0]


def test_a_model_of_openai_is_compared_where_its_key_is_set(served, openai):
    table = similarities(*COFFEE, FASTCHAT_BASEURL=served.url, **openai.env)
    assert table[tuple(COFFEE)].keys() == {MINILM, SMOLLM2, OPENAI}
    assert table[tuple(COFFEE)][OPENAI] == 0.6  # of (3, 0) and (3, 4)


def test_only_what_is_meant_for_openai_goes_there(served, openai):
    env = {"FASTCHAT_BASEURL": served.url, "FASTCHAT_API_KEY": "ours", **openai.env}
    similarities(*COFFEE, "--model", OPENAI, "--model", MINILM, **env)
    assert openai.requests == [("/v1/embeddings", "Bearer sk-test", OPENAI)]


def test_a_misspelt_model_is_refused_with_the_names_that_are_served(served, openai):
    done = run("search.py", "--model", "all-minilm", FASTCHAT_BASEURL=served.url, **openai.env)
    assert done.returncode == 1
    served_here = "smollm2, vicuna-7b-v1.1, all-minilm-l6-v2"
    assert done.stderr.startswith(f"search.py: all-minilm is not served here; served are {served_here}.")
    assert openai.requests == []


def test_without_its_key_a_model_of_openai_is_refused(served):
    done = run("similarity.py", "--model", OPENAI, FASTCHAT_BASEURL=served.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "OPENAI_API_KEY" in done.stderr


def test_without_a_gateway_the_answer_is_one_line(free_ports):
    done = run("similarity.py", FASTCHAT_BASEURL=f"http://127.0.0.1:{free_ports[0]}")
    assert done.returncode == 1
    assert done.stderr.startswith("similarity.py: Cannot reach http://127.0.0.1")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("Id,Score,Summary\n1,5,Good\n", "has no column ProductId, Text; it has Id, Score, Summary."),
        ("ProductId,Score,Summary,Text\n", "holds no reviews."),
        ("ProductId,Score,Summary,Text\nA,7,Good,Very good\n", "has a Score of 7; scores are 1 to 5."),
        ("", "No columns to parse from file"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_not_of_reviews_is_refused_with_the_reason(tmp_path, content, complaint):
    path = tmp_path / "reviews.csv"
    if content is not None:
        path.write_text(content)
    done = run("classification.py", "--reviews", path)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_limit_takes_fewer_reviews(served):
    lines = printed("classification.py", "--limit", "50", "--model", MINILM, FASTCHAT_BASEURL=served.url)
    assert lines[0].startswith("50 reviews")


def test_the_reviews_are_few_and_have_the_columns_of_the_data_set():
    reviews = pd.read_csv(EXAMPLES / "reviews.csv")
    counts = ["HelpfulnessNumerator", "HelpfulnessDenominator"]
    assert list(reviews) == ["Id", "ProductId", "UserId", "ProfileName", *counts, "Score", "Time", "Summary", "Text"]
    assert 200 <= len(reviews) <= 300
