"""Pictures of reviews and their vectors: confusion matrix, likeness of products, map, search results.

Each function draws one and returns it; `save` writes it as PNG.
"""

import sys
from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.model_selection import StratifiedKFold, cross_val_predict

try:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke
except ModuleNotFoundError:
    sys.exit("matplotlib is not installed: pip install 'fastchat-k8s[plots]'")

Vectors = NDArray[np.float32]

STARS = ["#b2182b", "#ef8a62", "#9a9a9a", "#67a9cf", "#2166ac"]
"""Colours of 1 to 5 stars, told apart by people who see no red or no green."""


def save(figure: Figure, path: Path) -> Path:
    """Write a picture as PNG; where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def confusion(vectors: Vectors, scores: NDArray[np.int64]) -> Figure:
    """Stars that were given, and those that a linear classifier tells from the vectors.

    Each review is judged by a classifier that was trained on others: five-fold cross-validation.
    """
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    told = cross_val_predict(RidgeClassifier(), vectors, scores, cv=folds)
    labels = sorted(set(scores))
    shares = confusion_matrix(scores, told, labels=labels, normalize="true")
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(column, row, f"{share:.0%}", ha="center", va="center", color="white" if share > 0.5 else "black")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="stars told from the vector", ylabel="stars given")
    axes.set_title(f"{len(scores):,} reviews, {accuracy_score(scores, told):.0%} told right")
    figure.colorbar(image, label="share of the reviews with so many stars", format="{x:.0%}")
    return figure


def likeness(vectors: Vectors, products: "pd.Series[str]", most: int = 25) -> Figure:
    """Mean cosine similarity of the reviews of every two products, those most alike beside each other.

    Args:
        products: what each review is about
        most: so many products, those with the most reviews
    """
    names = sorted(products.value_counts().index[:most])
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centres = np.array([directions[(products == name).to_numpy()].mean(axis=0) for name in names])
    order = _neighbours(centres)
    similarity = (centres @ centres.T)[np.ix_(order, order)]
    labels = [names[place] for place in order]
    figure = Figure(figsize=(8.4, 7), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(similarity, cmap="viridis")
    axes.set_xticks(range(len(labels)), labels, rotation=50, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_title("How alike the reviews of two products are")
    figure.colorbar(image, label="mean cosine similarity")
    return figure


def _neighbours(centres: Vectors) -> list[int]:
    """An order in which each is followed by the one most like it of those that are left."""
    similarity = centres @ centres.T
    order, left = [0], set(range(1, len(centres)))
    while left:
        order.append(max(left, key=lambda each: similarity[order[-1], each]))
        left.remove(order[-1])
    return order


def map_of(vectors: Vectors, products: "pd.Series[str]", scores: NDArray[np.int64], most: int = 25) -> Figure:
    """Reviews on two maps of their principal components, coloured by stars.

    On the left as they are: products decide where one lies. On the right the mean of each product is taken away, so
    that what is left is what is said of it.

    Args:
        products: what each review is about
        scores: stars, 1 to 5
        most: so many products are named on the left, those with the most reviews
    """
    names, without = products.to_numpy(), vectors.copy()
    for name in set(names):
        without[names == name] -= vectors[names == name].mean(axis=0)
    figure = Figure(figsize=(12, 5.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    places = _scatter(left, vectors, scores)
    _scatter(right, without, scores)
    for name in products.value_counts().index[:most]:
        x, y = np.median(places[names == name], axis=0)
        text = left.text(x, y, name, ha="center", va="center", fontsize=8.5, fontweight="bold")
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    left.set_title("What they are about decides where reviews lie")
    right.set_title("Without their product's mean, what is said of it")
    scale = figure.colorbar(right.collections[0], ax=right, ticks=range(1, 6), label="stars given")
    scale.solids.set_alpha(1)
    return figure


def components(vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First two principal components, [texts, 2], and the shares of the variance that they have."""
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    return centred @ directions[:, :-3:-1], values[:-3:-1] / values.sum()


def _scatter(axes: Axes, vectors: Vectors, scores: NDArray[np.int64]) -> NDArray[np.float64]:
    """Up to 3,000 of the reviews; where all of them are."""
    places, shares = components(vectors)
    shown = np.random.default_rng(0).permutation(len(scores))[:3000]  # in no order, so that no colour covers the others
    size = 40 if len(shown) < 500 else 9
    colours = ListedColormap(STARS)
    axes.scatter(*places[shown].T, c=scores[shown], cmap=colours, vmin=0.5, vmax=5.5, s=size, alpha=0.65, linewidths=0)
    axes.set(xlabel=f"first component, {shares[0]:.0%} of the variance", ylabel=f"second, {shares[1]:.0%}")
    axes.set(xticks=[], yticks=[])
    return places


def found(results: dict[str, pd.DataFrame], top: int = 3) -> Figure:
    """The reviews nearest to each query, beside bars of their similarity in the colour of their stars.

    Args:
        results: query → reviews with their `similarity`, the nearest first
    """
    figure = Figure(figsize=(11.5, len(results) * (0.5 + 0.5 * top)), layout="constrained")
    panels = figure.subplots(len(results), 2, squeeze=False, width_ratios=[1, 4])
    for (bars, texts), (query, ranked) in zip(panels, results.items(), strict=True):
        best = ranked.head(top)
        bars.barh(range(top), best["similarity"], color=[STARS[score - 1] for score in best["Score"]], height=0.7)
        for place, similarity in enumerate(best["similarity"]):
            bars.text(similarity + 0.02, place, f"{similarity:.2f}", va="center", fontsize=8.5)
        for place, (text, score) in enumerate(zip(best["document"], best["Score"], strict=True)):
            said = "\n".join(wrap(text, 125, max_lines=2, placeholder=" …"))
            texts.text(0, place, f"{score}★", va="center", fontsize=9, fontweight="bold", color=STARS[score - 1])
            texts.text(0.035, place, said, va="center", fontsize=8.5, linespacing=1.3)
        bars.set(xlim=(0, 1), ylim=(top - 0.4, -0.6))
        bars.set_title(f"“{query}”", loc="left", fontsize=10.5, fontweight="bold")
        texts.set(xlim=(0, 1), ylim=(top - 0.4, -0.6))
        bars.axis("off")
        texts.axis("off")
    return figure
