"""Reviews of food in the columns of the Amazon data set, from a CSV file.

The data set: https://www.kaggle.com/datasets/snap/amazon-fine-food-reviews (568,454 reviews, one CSV file).
`reviews.csv` beside this file has the same columns; its reviews were written for this project.
"""

import argparse
from pathlib import Path

import pandas as pd

SHIPPED = Path(__file__).with_name("reviews.csv")
NEEDED = ["ProductId", "Score", "Summary", "Text"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--reviews` and `--limit`."""
    parser.add_argument("--reviews", type=Path, default=SHIPPED, metavar="CSV", help="default: %(default)s")
    parser.add_argument(
        "--limit", type=int, default=1000, metavar="N", help="of more reviews, so many at random (default: %(default)s)"
    )


def load(path: Path, limit: int) -> pd.DataFrame:
    """Up to `limit` reviews, the same ones each time; `document` holds a review's summary and text.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a CSV file of reviews, or `limit` is below 1.
    """
    if limit < 1:
        raise ValueError(f"--limit is 1 or more, not {limit}.")
    reviews = read(path)
    # Amazon lists one review under several products. A classifier that has seen its copy remembers instead of judging.
    reviews = reviews.dropna(subset=NEEDED).drop_duplicates(subset="Text")
    reviews = reviews.sample(n=limit, random_state=0) if len(reviews) > limit else reviews
    return reviews.assign(document=reviews["Summary"] + ": " + reviews["Text"])


def read(path: Path) -> pd.DataFrame:
    """The reviews of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not CSV, a column is missing, there are no rows, or a score is not 1 to 5.
    """
    try:
        reviews = pd.read_csv(path)
    except ValueError as invalid:  # pandas' words are without the file's name
        raise ValueError(f"{path} is not a CSV file: {invalid}") from invalid
    if missing := [column for column in NEEDED if column not in reviews]:
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(map(str, reviews))}.")
    if reviews.empty:
        raise ValueError(f"{path} holds no reviews.")
    if odd := set(reviews["Score"].dropna()) - {1, 2, 3, 4, 5}:
        raise ValueError(f"{path} has a Score of {odd.pop()!r}; scores are 1 to 5.")
    return reviews
