"""Compare sentences with each other: the cosine similarity of every two of them, with each model."""

import argparse
import itertools
import sys

import embeddings
import pandas as pd
from sklearn.metrics.pairwise import cosine_similarity

from fastchat.errors import FastChatError

SENTENCES = [
    "This coffee is strong and smells wonderful.",
    "The brew is bold and has a lovely aroma.",
    "My dog refuses to eat this food.",
    "Our puppy will not touch this kibble.",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentences", nargs="*", default=SENTENCES, metavar="sentence", help="two or more")
    embeddings.add_arguments(parser)
    args = parser.parse_args()
    if len(args.sentences) < 2:
        parser.error("it takes two sentences to compare.")
    try:
        table = compare(embeddings.find(args.models), args.sentences)
    except (FastChatError, ValueError) as failure:
        sys.exit(f"{parser.prog}: {failure}")
    print(table.to_string(float_format="{:.2f}".format))


def compare(models: list[embeddings.Model], sentences: list[str]) -> pd.DataFrame:
    """A row for every two sentences, a column for each model."""
    pairs = list(itertools.combinations(range(len(sentences)), 2))
    table = pd.DataFrame(index=[f"{sentences[one]} / {sentences[other]}" for one, other in pairs])
    for model in models:
        likeness = cosine_similarity(embeddings.embed(model, sentences).vectors)
        table[model.name] = [likeness[pair] for pair in pairs]
    return table


if __name__ == "__main__":
    main()
