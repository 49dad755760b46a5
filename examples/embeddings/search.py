"""Find the reviews that are nearest in meaning to a query, with each model."""

import argparse
import sys

import embeddings
import pandas as pd
import reviews
from sklearn.metrics.pairwise import cosine_similarity

from fastchat.errors import FastChatError

QUERIES = ["delicious beans", "whole wheat pasta", "bad delivery"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("queries", nargs="*", default=QUERIES, metavar="query", help=f"default: {', '.join(QUERIES)}")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="reviews to show (default: %(default)s)")
    embeddings.add_arguments(parser)
    reviews.add_arguments(parser)
    args = parser.parse_args()
    try:
        sample = reviews.load(args.reviews, args.limit)
        for model in embeddings.find(args.models):
            show(model.name, search(model, sample, args.queries), args.top)
    except (FastChatError, OSError, ValueError) as failure:
        sys.exit(f"{parser.prog}: {failure}")


def search(model: embeddings.Model, sample: pd.DataFrame, queries: list[str]) -> dict[str, pd.DataFrame]:
    """For each query all reviews, the nearest first, with their cosine similarity to it."""
    vectors = embeddings.embed(model, [*queries, *sample["document"]]).vectors
    likeness = cosine_similarity(vectors[: len(queries)], vectors[len(queries) :])
    return {
        query: sample.assign(similarity=row).sort_values("similarity", ascending=False)
        for query, row in zip(queries, likeness, strict=True)
    }


def show(name: str, found: dict[str, pd.DataFrame], top: int) -> None:
    """Print the first `top` reviews of each query."""
    for query, ranked in found.items():
        table = ranked.head(top)[["similarity", "ProductId", "Score", "document"]]
        table["document"] = table["document"].str.slice(0, 70)
        print(f"{name}: {query}\n{table.to_string(index=False, header=False, float_format='{:.2f}'.format)}\n")


if __name__ == "__main__":
    main()
