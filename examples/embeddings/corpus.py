"""Reviews of food made up by a grammar, labelled, as many as are wanted: the same ones for the same seed.

Nobody has written or felt any of them. They are for trying things out at a size that hand-written ones do not have, and
they are easier to tell apart than real ones: whoever wants to know how good a model is takes the reviews of people.
"""

import argparse
import random
import sys
from pathlib import Path

import pandas as pd

PRODUCTS = {
    "COFFEE": ("coffee", "the beans", "a dark, round cup"),
    "ESPRESSO": ("espresso", "the grounds", "a thick crema"),
    "BLACKTEA": ("black tea", "the leaves", "a malty, brisk cup"),
    "GREENTEA": ("green tea", "the leaves", "a soft, grassy cup"),
    "COCOA": ("cocoa powder", "the powder", "a deep chocolate flavour"),
    "DARKCHOC": ("dark chocolate", "the bars", "a clean snap and little sugar"),
    "COOKIES": ("oat cookies", "the cookies", "a buttery crumb"),
    "LICORICE": ("licorice", "the twists", "a salty anise bite"),
    "DOGFOOD": ("dog food", "the kibble", "a bowl licked clean"),
    "DOGTREAT": ("dog treats", "the sticks", "a wagging tail"),
    "CATFOOD": ("cat food", "the tins", "a purring cat"),
    "BABYFOOD": ("baby food", "the puree", "an empty spoon every time"),
    "WWPASTA": ("whole wheat pasta", "the noodles", "a nutty bite"),
    "RICE": ("basmati rice", "the grains", "long, fluffy grains"),
    "SALSA": ("salsa", "the sauce", "a fresh heat"),
    "OLIVEOIL": ("olive oil", "the oil", "a peppery finish"),
    "HONEY": ("honey", "the honey", "a flowery sweetness"),
    "TUNA": ("canned tuna", "the fish", "firm, clean pieces"),
    "POTCHIPS": ("potato chips", "the chips", "a loud crunch"),
    "PROTEIN": ("protein powder", "the powder", "a smooth shake"),
}
"""ProductId → what it is called, what one has in hand, what one hopes for."""

OPINIONS = {
    "taste": (
        ["It has {hope}.", "The taste is excellent.", "We finished it within days.", "My whole family asks for more."],
        [
            "The taste is flat.",
            "It tastes stale and bitter.",
            "Nobody here would finish it.",
            "I had hoped for {hope}, and got none.",
        ],
    ),
    "freshness": (
        ["{thing} arrived fresh.", "The date on the package is a year away.", "It smells as if it was made this week."],
        ["{thing} arrived past the date.", "It smelled musty when I opened it.", "Half of it had gone off."],
    ),
    "package": (
        ["The package closes well again.", "Nothing was broken.", "It was packed with great care."],
        ["The package was torn.", "Half of it was crushed to dust.", "The lid had leaked over everything."],
    ),
    "price": (
        ["It is worth every cent.", "The price is fair for this quality.", "It costs less than in the shop."],
        [
            "It is far too expensive.",
            "The shop around the corner has it for half.",
            "I paid for a large one and got a small one.",
        ],
    ),
    "delivery": (
        ["It came two days early.", "The delivery was quick.", "The seller answered my question within the hour."],
        ["It took five weeks to come.", "They sent the wrong one, twice.", "Nobody answered my complaint."],
    ),
    "ingredients": (
        ["The list of ingredients is short.", "There is no added sugar in it.", "It agrees with all of us."],
        ["It is full of sugar and palm oil.", "It upset our stomachs.", "The label hides what is in it."],
    ),
}
"""What is judged → what is said where it is good, and where it is not."""

SCORES = {
    1: (
        0,
        ["Awful", "Do not buy", "Waste of money", "Never again"],
        ["I want my money back.", "Stay away from the {name}."],
    ),
    2: (
        1,
        ["Disappointing", "Expected more", "Not for us", "Below average"],
        ["I will look for another {name}.", "I would not buy it again."],
    ),
    3: (
        1,
        ["It is okay", "Mixed feelings", "Average", "So so"],
        ["It is an ordinary {name}.", "I may or may not buy it again."],
    ),
    4: (
        2,
        ["Good, not perfect", "Solid choice", "Pleasant surprise", "Would buy again"],
        ["All in all a good {name}.", "I am content with it."],
    ),
    5: (
        3,
        ["Perfect", "The best", "Love it", "Wonderful"],
        ["The best {name} that I know!", "I have ordered three more."],
    ),
}
"""Stars → how many of three opinions are good, summaries, last sentences."""

PLACES = [
    "in spring",
    "at home",
    "for the office",
    "on holiday",
    "as a gift",
    "for my parents",
    "every week",
    "last month",
]


def generate(count: int, seed: int = 0) -> pd.DataFrame:
    """`count` different reviews in the columns of reviews.csv that the examples read.

    Raises:
        ValueError: count is below 1, or more than the grammar has in it.
    """
    if not 1 <= count <= 100_000:
        raise ValueError(f"between 1 and 100,000 reviews can be generated, not {count}.")
    chance, texts = random.Random(seed), {}
    while len(texts) < count:
        product, score = chance.choice(list(PRODUCTS)), chance.choice(list(SCORES))
        summary, text = review(product, score, chance)
        texts.setdefault(text, (f"{product}{chance.randrange(100):02}", score, summary))
    rows = [(product, score, summary, text) for text, (product, score, summary) in texts.items()]
    return pd.DataFrame(rows, columns=["ProductId", "Score", "Summary", "Text"])


def review(product: str, score: int, chance: random.Random) -> tuple[str, str]:
    """Summary and text of one review."""
    name, thing, hope = PRODUCTS[product]
    good = SCORES[score][0]
    _, summaries, endings = SCORES[_meant(score, chance)]
    judged = chance.sample(list(OPINIONS), 3)
    said = [chance.choice(OPINIONS[about][0 if place < good else 1]) for place, about in enumerate(judged)]
    chance.shuffle(said)
    first = f"We tried the {name} {chance.choice(PLACES)}."
    text = " ".join([first, *said, chance.choice(endings)]).format(name=name, thing=thing.capitalize(), hope=hope)
    return chance.choice(summaries), text


def _meant(score: int, chance: random.Random) -> int:
    """Stars by which a review is summed up: every third person is a little more, or less, content than they say."""
    return min(5, max(1, score + chance.choice([-1, 0, 0, 0, 0, 1])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="CSV", help="where to write them")
    parser.add_argument("--count", type=int, default=10_000, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="others (default: %(default)s)")
    args = parser.parse_args()
    try:
        generate(args.count, args.seed).to_csv(args.file, index=False)
    except (OSError, ValueError) as failure:
        sys.exit(f"{parser.prog}: {failure}")


if __name__ == "__main__":
    main()
