"""Tell a review's score from its embedding with a random forest, and compare models by how often that is right.

Two questions: is the review positive (4 or 5 stars) or negative (1 or 2; those with 3 are left out), and how many stars
did it give? Every review is judged by a forest that was grown on others: five-fold cross-validation.
The first row is what a model has to beat: the most frequent answer, whatever the review.
"""

import argparse
import sys

import embeddings
import numpy as np
import pandas as pd
import reviews
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from fastchat.errors import FastChatError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    embeddings.add_arguments(parser)
    reviews.add_arguments(parser)
    args = parser.parse_args()
    try:
        sample = reviews.load(args.reviews, args.limit)
        table = compare(embeddings.find(args.models), sample)
    except (FastChatError, OSError, ValueError) as failure:
        sys.exit(f"{parser.prog}: {failure}")
    print(f"{len(sample)} reviews, {(sample['Score'] == 3).sum()} of them with 3 stars")
    print(table.to_string(float_format="{:.2f}".format))


def compare(models: list[embeddings.Model], sample: pd.DataFrame) -> pd.DataFrame:
    """A row for the constant answer and for each model."""
    scores = sample["Score"].to_numpy()
    nothing = embeddings.Embedded(np.empty((len(scores), 0)), seconds=0.0)
    rows = {"constant": row(DummyClassifier(), nothing, scores)}
    for model in models:
        embedded = embeddings.embed(model, sample["document"].tolist())
        rows[model.name] = row(RandomForestClassifier(random_state=0), embedded, scores)
    return pd.DataFrame(rows).T.astype({("embedding", "dimensions"): int})


def row(classifier: ClassifierMixin, embedded: embeddings.Embedded, scores: np.ndarray) -> dict[tuple[str, str], float]:
    """How well the classifier does on both questions, and what the embeddings cost."""
    decided = scores != 3
    return {
        **quality("positive?", classifier, embedded.vectors[decided], scores[decided] > 3),
        **quality("1 to 5?", classifier, embedded.vectors, scores),
        ("embedding", "dimensions"): embedded.vectors.shape[1],
        ("embedding", "seconds"): embedded.seconds,
    }


def quality(
    question: str, classifier: ClassifierMixin, vectors: np.ndarray, answers: np.ndarray
) -> dict[tuple[str, str], float]:
    """Share of right answers, and the mean of the F1 scores of all answers, which a constant answer cannot win."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    given = cross_val_predict(classifier, vectors, answers, cv=folds)
    return {
        (question, "accuracy"): accuracy_score(answers, given),
        (question, "macro F1"): f1_score(answers, given, average="macro"),
    }


if __name__ == "__main__":
    main()
