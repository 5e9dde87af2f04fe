"""What an interpreter says of an input, as a comparison wants it: rows of scores over all of its tokens."""

from typing import Dict, List, NamedTuple, Optional, Sequence

from allennlp.common.util import JsonDict

from allennlp_layer_saliency.output_line import InstanceScores, instance_scores

KINDS = ("signed", "absolute")


class ScoredText(NamedTuple):
    """
    An interpreter's scores for an input, of one text or several, one text after the other.

    # Parameters

    scores : `Dict[str, List[List[float]]]`
        By row; for each explained prediction one score per token.
    tokens : `List[str]`
    offsets : `List[Optional[List[int]]]`
        Each token's characters in its text; None for special tokens.
    starts : `List[int]`
        Where each field's tokens start.
    texts : `List[Optional[str]]`
        What the tokens are of: a field's text, or the two of a pair in one; None where it is not known.
    text_of : `List[Optional[int]]`
        For each token the one of `texts` that it is of.
    """

    scores: Dict[str, List[List[float]]]
    tokens: List[str]
    offsets: List[Optional[List[int]]]
    starts: List[int]
    texts: List[Optional[str]]
    text_of: List[Optional[int]]

    @classmethod
    def of(
        cls, name: str, explanation: JsonDict, kinds: Sequence[str], last_first: bool = False
    ) -> "ScoredText":
        """
        # Parameters

        name : `str`
            The interpreter's. Of several layers each makes a row, "name@layer".
        explanation : `JsonDict`
            "instance_1" and so on, at least one.
        kinds : `Sequence[str]`
            Of `KINDS`: where scores are signed, "name" is ranked by them, and by their absolute values as
            "name (absolute)", or as "name" if only those are wanted.
        last_first : `bool`, optional (default = `False`)
            Whether the explanation numbers the input's texts from the last one.
        """
        scores: Dict[str, List[List[float]]] = {}
        for content in explanation.values():
            instance = _in_order(instance_scores(content), last_first)
            if instance.several:
                rows = {f"{name}@{at.layer}": _in_order(at, last_first) for at in instance.several}
            else:
                rows = {name: instance}
            for row, entry in rows.items():
                for of_row, values in _by_kind(row, entry, kinds).items():
                    scores.setdefault(of_row, []).append(values)
        lengths = [len(text.tokens) for text in instance.texts]
        texts: List[Optional[str]] = []
        text_of: List[Optional[int]] = []
        for field in instance.texts:
            text_of += [None if segment is None else len(texts) + segment for segment in field.segments]
            texts += field.texts or [None]
        return cls(
            scores,
            [token for text in instance.texts for token in text.tokens],
            [offsets for text in instance.texts for offsets in text.offsets],
            [sum(lengths[:i]) for i in range(len(lengths))],
            texts,
            text_of,
        )


def _in_order(instance: InstanceScores, last_first: bool) -> InstanceScores:
    texts = sorted(instance.texts, key=lambda text: -text.number if last_first else text.number)
    return instance._replace(texts=texts)


def _by_kind(row: str, entry: InstanceScores, kinds: Sequence[str]) -> Dict[str, List[float]]:
    absolute = [score for text in entry.texts for score in text.absolute]
    if not entry.signed:
        return {row: absolute}
    found = {}
    if "signed" in kinds:
        found[row] = [score for text in entry.texts for score in text.scores]
    if "absolute" in kinds:
        found[row if "signed" not in kinds else f"{row} (absolute)"] = absolute
    return found
