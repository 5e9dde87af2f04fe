"""The output line of a text, as `allennlp predict` and `allennlp saliency run` write it."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from allennlp.common.util import JsonDict


class TextScores(NamedTuple):
    """
    The scores of one text at one layer. What its keys hold is said in the README; N is the text's number.

    # Parameters

    number : `int`
        From 1, in the order of the instance's fields.
    absolute : `List[float]`
        `grad_input_N`: of each token, normalised.
    signed : `List[float]`, optional
        `signed_N`: of each token; None where the interpreter gives no signs.
    tokens : `List[str]`
    offsets : `List[Optional[List[int]]]`
        Each token's characters in its text; None for special tokens.
    texts : `List[str]`, optional
        What the tokens are of: one text, or the two of a pair in one field.
    segments : `List[Optional[int]]`
        For each token the one of `texts` that it is of; None for special tokens of a pair.
    pieces : `List[JsonDict]`, optional
        The word pieces of a model that reads words: `piece` and `token`.
    sources : `List[List[JsonDict]]`, optional
        For each token the positions that gave it its score: `position` and `amount`, and `text` where there
        are several.
    decoded : `List[List[JsonDict]]`
        For each position the tokens that its state decodes to: `token`, `probability`, `contribution`.
    """

    number: int
    absolute: List[float]
    signed: Optional[List[float]]
    tokens: List[str]
    offsets: List[Optional[List[int]]]
    texts: Optional[List[str]]
    segments: List[Optional[int]]
    pieces: Optional[List[JsonDict]]
    sources: Optional[List[List[JsonDict]]]
    decoded: List[List[JsonDict]]

    @property
    def scores(self) -> List[float]:
        """The signed scores where there are any, else the absolute ones."""
        return self.absolute if self.signed is None else self.signed

    @property
    def token_of_position(self) -> List[Optional[int]]:
        """For each position the token that it is of: a token has one of its own, or several pieces."""
        if self.pieces is None:
            return list(range(len(self.tokens)))
        return [piece["token"] for piece in self.pieces]


class InstanceScores(NamedTuple):
    """
    One explained score of a text or pair: at a layer, by an interpreter without layers, or, of several
    layers, the mean over them.

    # Parameters

    texts : `List[TextScores]`
    layer : `int`, optional
    target : `JsonDict`, optional
        What is explained: `label`, `kind`, `score`.
    lost : `float`, optional
    vocabulary : `List[JsonDict]`
        The most salient tokens of the vocabulary: `token` and `score`.
    several : `List[InstanceScores]`
        Of several layers, each. Else empty.
    """

    texts: List[TextScores]
    layer: Optional[int]
    target: Optional[JsonDict]
    lost: Optional[float]
    vocabulary: List[JsonDict]
    several: Sequence["InstanceScores"]

    @property
    def signed(self) -> bool:
        return any(text.signed is not None for text in self.texts)

    @property
    def layers(self) -> Sequence["InstanceScores"]:
        """The scores at each layer; where there is one, or none is named, these."""
        return self.several or [self]


class OutputLine(NamedTuple):
    """
    # Parameters

    id : `Any`
        The input's, or None.
    number : `int`, optional
        Of an error, the input's line.
    error : `str`, optional
        Why there is no explanation.
    predicted : `str`, optional
        The label, or labels, that the model predicts.
    gold_label : `str`, optional
    probability : `float`, optional
        Of the predicted label, where it is one of several.
    logits : `List[float]`, optional
    instances : `Dict[str, InstanceScores]`
        The explained scores: "instance_1" and so on.
    """

    id: Any
    number: Optional[int]
    error: Optional[str]
    predicted: Optional[str]
    gold_label: Optional[str]
    probability: Optional[float]
    logits: Optional[List[float]]
    instances: Dict[str, InstanceScores]


def output_line(content: JsonDict) -> OutputLine:
    """A line of output, parsed from JSON; keys that are missing from it are None, or empty."""
    return OutputLine(
        id=content.get("id"),
        number=content.get("line"),
        error=content.get("error"),
        predicted=_named(content.get("label")),
        gold_label=_named(content.get("gold_label")),
        probability=_probability(content),
        logits=content.get("logits"),
        instances={name: instance_scores(instance) for name, instance in content.get("saliency", {}).items()},
    )


def instance_scores(content: JsonDict) -> InstanceScores:
    """One explained score, parsed from JSON: the "instance_1" of an explanation."""
    prefix = "grad_input_"
    several = [instance_scores({**content, "layers": [], **layer}) for layer in content.get("layers", [])]
    return InstanceScores(
        texts=[_text_scores(content, int(key[len(prefix) :])) for key in content if key.startswith(prefix)],
        layer=content.get("layer"),
        target=content.get("target"),
        lost=content.get("lost"),
        vocabulary=content.get("vocabulary", []),
        several=several,
    )


def _text_scores(content: JsonDict, number: int) -> TextScores:
    tokens = content.get(f"tokens_{number}", [])
    return TextScores(
        number=number,
        absolute=content[f"grad_input_{number}"],
        signed=content.get(f"signed_{number}"),
        tokens=tokens,
        offsets=content.get(f"offsets_{number}", []),
        texts=content.get(f"texts_{number}"),
        segments=content.get(f"segments_{number}") or [0] * len(tokens),
        pieces=content.get(f"pieces_{number}"),
        sources=content.get(f"sources_{number}"),
        decoded=content.get(f"decoded_{number}", []),
    )


def _named(label: Any) -> Optional[str]:
    if isinstance(label, list) and all(isinstance(each, str) for each in label):
        return ", ".join(label) or "no label"
    return None if label is None or isinstance(label, (dict, list)) else str(label)


def _probability(content: JsonDict) -> Optional[float]:
    # AllenNLP's entailment models call them `label_probs`.
    probs = content.get("probs", content.get("label_probs"))
    if isinstance(content.get("label"), list) or not isinstance(probs, list):
        return None
    return max(probs) if probs and all(isinstance(p, float) for p in probs) else None
