"""Agreement of scores with what people call the important words."""

from itertools import groupby
from typing import Dict, List, Optional, Sequence, Set, Tuple

from sklearn.metrics import average_precision_score

from allennlp_layer_saliency.core.faithfulness import ranked
from allennlp_layer_saliency.evaluation.known_words import Word

HUMAN = ("auprc", "token_f1", "iou", "iou_f1")
# Of words that are known to decide.
PLANTED = ("precision_at_k", "mean_rank")
METRICS = (*HUMAN, *PLANTED)


def word_scores(
    words: Sequence[Word],
    scores: Sequence[float],
    offsets: Sequence[Optional[Sequence[int]]],
    text_of: Sequence[Optional[int]],
) -> List[Optional[float]]:
    """
    A word's score is the largest of its tokens', of which the scores, the character spans and the texts are
    given; None where no token is within the word.
    """
    found: List[Optional[float]] = []
    for word in words:
        own = [
            score
            for score, span, text in zip(scores, offsets, text_of)
            if span is not None and text == word.text and span[0] < word.end and span[1] > word.start
        ]
        found.append(max(own) if own else None)
    return found


def measure(scores: Sequence[float], words: Sequence[Word]) -> Dict[str, float]:
    """
    # Parameters

    scores : `Sequence[float]`
        Of words.
    words : `Sequence[Word]`
        At least one must be salient.

    # Returns

    `Dict[str, float]`
        auprc: area under the curve of precision over recall, as average precision.

        Of the k words with the highest scores, k the number of salient words, ties by position: token_f1;
        iou (intersection over union); precision_at_k, which is the same number as token_f1; and iou_f1, as
        the ERASER benchmark counts: runs of such words, of which one is right if its intersection with a
        run of salient words is at least half of their union.

        mean_rank: the salient words' mean place by score, from 1; lower is better.
    """
    order = ranked(scores, range(len(scores)))
    wanted = {i for i, word in enumerate(words) if word.salient}
    top = set(order[: len(wanted)])
    both = len(top & wanted)
    found, human = _runs(top, words), _runs(wanted, words)
    right = sum(any(2 * len(run & other) >= len(run | other) for other in human) for run in found)
    return {
        "auprc": float(average_precision_score([word.salient for word in words], scores)),
        # Both sets are of the same size, so that precision, recall and F1 are one.
        "token_f1": both / len(wanted),
        "iou": both / len(top | wanted),
        "iou_f1": 2 * right / (len(found) + len(human)),
        "precision_at_k": both / len(wanted),
        "mean_rank": sum(rank for rank, i in enumerate(order, start=1) if i in wanted) / len(wanted),
    }


def _runs(chosen: Set[int], words: Sequence[Word]) -> List[Set[int]]:
    """Chosen words side by side in one text."""

    def place(numbered: Tuple[int, int]) -> Tuple[int, int]:
        return words[numbered[1]].text, numbered[1] - numbered[0]

    return [{i for _, i in run} for _, run in groupby(enumerate(sorted(chosen)), place)]
