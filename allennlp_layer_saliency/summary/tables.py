"""Tables of what a tally found."""

import math
from typing import Any, Dict, List, Tuple

import pandas
from scipy import stats

from allennlp_layer_saliency.summary.tally import Sums, Tally

WORDS = ["layer", "class", "word"]
CONFUSIONS = ["layer", "gold", "predicted", "word"]
MEASURED = ["texts", "mean", "low", "high", "share", "alone"]


def words(tally: Tally, min_texts: int) -> pandas.DataFrame:
    """
    What each word says for (above 0) or against an explained class.

    # Returns

    `pandas.DataFrame`
        Words of at least `min_texts` texts, the highest means first in each layer and class. `mean`: of the
        word's score over the texts where it occurs, all its occurrences in a text being one; `low` and
        `high`: the 95 % interval of Student's t; `share`: the mean of |score| over its sum over the text's
        words; `alone`: in how many texts that is at least one half; `texts`.
    """
    return _table(tally.words, WORDS, min_texts)


def unseen(tally: Tally, min_texts: int) -> pandas.DataFrame:
    """
    The same of the most salient decoded words that are not in the texts; their scores are of the vocabulary.
    """
    return _table(tally.unseen, WORDS, min_texts).drop(columns=["share", "alone"])


def confusions(tally: Tally, min_texts: int) -> pandas.DataFrame:
    """The same of texts that are given another label than the gold one: what speaks for that other label."""
    return _table(tally.confusions, CONFUSIONS, min_texts)


def suspects(tally: Tally, min_texts: int) -> pandas.DataFrame:
    """
    Words that may be artefacts of the data: the model relies on them, and their texts have one label.

    # Returns

    `pandas.DataFrame`
        In each layer the highest `score` first: `share`, the word's mean share of the saliency of its
        texts, times `one_sided`, the pointwise mutual information with a label, log p(label | word) /
        p(label) (after Pezeshkpour et al., 2022), as a share of the most that it can be, -log p(label), so
        that rare labels are as others; p(label | word) is the lower bound of its 95 % interval (Wilson's):
        what few texts say counts for little. `label`: the one for
        which that is largest. `rank_by_counts` is the place by `one_sided` alone.
    """
    by_word: Dict[Tuple[Any, str], Sums] = {}
    for (layer, _, word), sums in tally.words.items():
        by_word.setdefault((layer, word), Sums()).merge(sums)
    rows = []
    for (layer, word), sums in by_word.items():
        labels = tally.labels.get(word)
        if not labels or sums.texts < min_texts:
            continue
        label, sided = one_sided(labels, tally.label_counts)
        share = sums.share / sums.texts
        rows.append([layer, word, label, share * sided, share, sided, sums.texts, sums.alone, _shown(sums)])
    columns = ["layer", "word", "label", "score", "share", "one_sided", "texts", "alone", "examples"]
    found = pandas.DataFrame(rows, columns=columns)
    by_counts = found.groupby("layer", dropna=False)["one_sided"].rank(method="min", ascending=False)
    found.insert(6, "rank_by_counts", by_counts.astype(int))
    return _sorted(found, ["layer"], "score")


def one_sided(labels: Dict[str, int], of_all: Dict[str, int]) -> Tuple[str, float]:
    """
    The label that a word speaks of most, and how much: from 0, no more than any word does, to 1, for certain.

    # Parameters

    labels, of_all : `Dict[str, int]`
        Texts of each label with the word, and all texts.
    """
    count, total = sum(labels.values()), sum(of_all.values())
    found = []
    for label, n in sorted(labels.items()):
        surprise = math.log(total / of_all[label])  # 0 where there is no other label
        gained = math.log(max(_lower_bound(n, count), 1e-9)) + surprise
        found.append((max(0.0, gained) / surprise if surprise else 0.0, label))
    share, label = max(found, key=lambda each: each[0])
    return label, share


def _lower_bound(n: int, count: int) -> float:
    """Of Wilson's 95 % interval of n / count. (SciPy's `binomtest` has it too, a test with each.)"""
    z = 1.959963984540054
    share, weight = n / count, z * z / count
    spread = z * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    return (share + weight / 2 - spread) / (1 + weight)


def _table(table: Dict[Any, Sums], keys: List[str], min_texts: int) -> pandas.DataFrame:
    kept = [(key, sums) for key, sums in table.items() if sums.texts >= min_texts]
    rows = [
        [*key, sums.texts, sums.total / sums.texts, sums.squares, sums.share / sums.texts, sums.alone]
        for key, sums in kept
    ]
    found = pandas.DataFrame(rows, columns=[*keys, "texts", "mean", "squares", "share", "alone"])
    n = found["texts"]
    # Rounding may make it less than 0 where all scores are one.
    variance = ((found.pop("squares") - n * found["mean"] ** 2) / (n - 1).clip(lower=1)).clip(lower=0)
    half = stats.t.ppf(0.975, (n - 1).clip(lower=1)) * (variance / n) ** 0.5
    half = half.where(n > 1)
    place = found.columns.get_loc("mean") + 1
    found.insert(place, "low", found["mean"] - half)
    found.insert(place + 1, "high", found["mean"] + half)
    found["examples"] = [_shown(sums) for _, sums in kept]
    return _sorted(found, keys[:-1], "mean")


def _shown(sums: Sums) -> List[Dict[str, Any]]:
    return [example._asdict() for example in sums.examples]


def _sorted(found: pandas.DataFrame, groups: List[str], by: str) -> pandas.DataFrame:
    """The highest first within each group; words decide among equals."""
    order = [*groups, by, "word"]
    found = found.sort_values(order, ascending=[*[True] * len(groups), False, True], kind="stable")
    return found.reset_index(drop=True)
