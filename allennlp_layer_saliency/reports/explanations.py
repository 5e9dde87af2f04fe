"""Explanations in the compact form that the page of `allennlp saliency report` reads."""

import json
import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.display import described, layer_entries, plain, scores, text_numbers

# Scores and amounts are drawn, not computed with: so many steps from 0 to the largest.
STEPS = 100
# Listed for each position: decoded tokens, and positions that gave.
DECODED, SOURCES, VOCABULARY = 3, 2, 10


class Text(NamedTuple):
    """A line of a file of explanations, and its number."""

    number: int
    line: JsonDict


class Pieces:
    """Strings by number: most are said many times."""

    def __init__(self) -> None:
        self._numbers: Dict[str, int] = {}

    def number(self, piece: str) -> int:
        return self._numbers.setdefault(piece, len(self._numbers))

    def listed(self) -> List[str]:
        return list(self._numbers)


def read(path: str) -> Iterator[Text]:
    """
    The lines of a file that `allennlp predict --predictor saliency` or `allennlp saliency compare` wrote.

    # Raises

    `ConfigurationError`
        If a line is neither an explanation nor an error record.
    """
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                content = json.loads(line)
                known = "saliency" in content or "error" in content or "scores" in content
            except (TypeError, ValueError):
                known = False
            if not known:
                raise ConfigurationError(
                    f"{path}, line {number}: an explanation is wanted, as allennlp predict --predictor "
                    "saliency writes it"
                )
            yield Text(number, content)


def compact(files: Mapping[str, Sequence[Text]]) -> JsonDict:
    """
    # Parameters

    files : `Mapping[str, Sequence[Text]]`
        For each source (an interpreter) its explanations. The same text has the same number, or the
        same `id`, in each.

    # Returns

    `JsonDict`
        `pieces`, strings that the rest names by their number; `sources`, the names; `texts`, each with
        `n` and `id`, `gold` and `predicted` labels, `p`, and `views`: one for each source and explained
        score (see `_view`), or an `error`.
    """
    pieces = Pieces()
    texts: Dict[Any, JsonDict] = {}
    for source, lines in enumerate(files.values()):
        for number, line in lines:
            key = json.dumps(line["id"]) if "id" in line else number
            text = texts.setdefault(key, {"n": line.get("line", number), "views": []})
            for name, value in (
                ("id", line.get("id")),
                ("gold", line.get("gold_label")),
                ("predicted", _predicted(line)),
                ("p", _probability(line)),
            ):
                if value is not None:
                    text[name] = value
            if "error" in line:
                text["views"].append({"source": source, "error": line["error"]})
            for name, instance in line.get("saliency", {}).items():
                text["views"].append({"source": source, **_view(instance, name, pieces)})
    return {"sources": list(files), "pieces": pieces.listed(), "texts": list(texts.values())}


def of_comparison(lines: Sequence[Text]) -> Dict[str, List[Text]]:
    """examples.jsonl of `allennlp saliency compare` as one file of explanations for each row."""
    files: Dict[str, List[Text]] = {}
    for _, line in lines:
        # A text that could not be read is of no row.
        if "row" not in line:
            continue
        content: JsonDict = {"id": line["id"]} if "id" in line else {}
        if "error" in line:
            content["error"] = line["error"]
        else:
            instance = {
                "tokens_1": line["tokens"],
                "offsets_1": line["offsets"],
                "grad_input_1": line["scores"],
            }
            if min(line["scores"]) < 0:
                instance["signed_1"] = line["scores"]
            content["label"] = line["predicted"]
            content["gold_label"] = line["label"]
            content["probs"] = [line["probability"]]
            content["saliency"] = {"instance_1": instance}
        files.setdefault(line["row"], []).append(Text(line["example"], content))
    return files


def _predicted(line: JsonDict) -> Optional[str]:
    label = line.get("label")
    return None if label is None or isinstance(label, (dict, list)) else str(label)


def _probability(line: JsonDict) -> Optional[float]:
    probs = line.get("probs")
    if not isinstance(probs, list) or not probs or not isinstance(probs[0], float):
        return None
    return round(max(probs), 4)


def _view(instance: JsonDict, name: str, pieces: Pieces) -> JsonDict:
    """
    One explained score of a text by one source: `tokens` (numbers of pieces), `gaps` (1 where there is
    white space before), `special` (1 for special tokens), and `layers`.
    """
    numbers = text_numbers(instance)
    tokens: List[int] = []
    gaps: List[int] = []
    special: List[int] = []
    for number in numbers:
        end = None
        for token, offsets in zip(instance[f"tokens_{number}"], instance[f"offsets_{number}"]):
            tokens.append(pieces.number(plain(token)))
            special.append(int(offsets is None))
            gaps.append(int(offsets is None or end is None or offsets[0] > end))
            end = None if offsets is None else offsets[1]
    view: JsonDict = {"tokens": tokens, "gaps": gaps, "special": special}
    entries = layer_entries(instance)
    if "target" in entries[0]:
        view["target"] = described(entries[0]["target"])
    elif name != "instance_1":
        view["target"] = name.replace("_", " ")
    view["layers"] = [_layer(entry, numbers, pieces) for entry in entries]
    return view


def _layer(entry: JsonDict, numbers: List[int], pieces: Pieces) -> JsonDict:
    """
    `l`, the layer; `s`, scores from -STEPS to STEPS, and `m`, what STEPS stands for; where there are any:
    `d`, for each token the tokens it decodes to, each a piece's number and a probability in percent, one
    after the other; `f`, for each token the tokens that gave, each a place and a share of `m` like a score;
    `v`, salient words of the vocabulary like `d`, with scores; `lost`.
    """
    of_tokens = [score for number in numbers for score in scores(entry, number)]
    largest = max(map(abs, of_tokens), default=0.0)

    def steps(value: float) -> int:
        return round(STEPS * value / largest) if largest else 0

    layer: JsonDict = {
        "l": entry.get("layer"),
        "m": float(f"{largest:.4g}"),
        "s": [steps(score) for score in of_tokens],
        "signed": int(f"signed_{numbers[0]}" in entry),
    }
    if "sources_1" not in entry:
        return layer
    places = _token_of_position(entry, numbers)
    decoded: List[List[int]] = []
    for items in decoded_of_tokens(entry):
        listed: List[int] = []
        for rank, item in enumerate(items[:DECODED]):
            percent = round(100 * item["probability"])
            if percent or not rank:
                listed += [pieces.number(plain(item["token"])), percent]
        decoded.append(listed)
    if any(decoded):
        layer["d"] = decoded
    given: List[List[int]] = []
    for n in numbers:
        for sources in entry[f"sources_{n}"]:
            listed = []
            for source in sources[:SOURCES]:
                token = places.get((source.get("text", n), source["position"]))
                if token is not None and steps(source["amount"]):
                    listed += [token, steps(source["amount"])]
            given.append(listed)
    # Undecoded, each token has what it has from itself.
    if any(decoded):
        layer["f"] = given
        layer["lost"] = float(f"{entry['lost']:.3g}")
    if entry.get("vocabulary"):
        layer["v"] = [
            number
            for item in entry["vocabulary"][:VOCABULARY]
            for number in (pieces.number(plain(item["token"])), float(f"{item['score']:.3g}"))
        ]
    return layer


def decoded_of_tokens(entry: JsonDict) -> List[List[JsonDict]]:
    """
    For each token, those of all texts one after the other, what it decodes to, most probable first. Of a
    word of several pieces the first that is decoded speaks.
    """
    numbers = text_numbers(entry)
    places = _token_of_position(entry, numbers)
    found: List[List[JsonDict]] = [[] for number in numbers for _ in entry[f"tokens_{number}"]]
    for number in numbers:
        for position, items in enumerate(entry.get(f"decoded_{number}", [])):
            token = places.get((number, position))
            if token is not None and not found[token]:
                found[token] = items
    return found


def _token_of_position(entry: JsonDict, numbers: List[int]) -> Dict[Tuple[int, int], int]:
    """For each text and position in it the token among all of the instance's."""
    found: Dict[Tuple[int, int], int] = {}
    first = 0
    for n in numbers:
        of_text = entry.get(f"pieces_{n}")
        if of_text is None:
            tokens: List[Optional[int]] = list(range(len(entry[f"tokens_{n}"])))
        else:
            tokens = [piece["token"] for piece in of_text]
        for position, token in enumerate(tokens):
            if token is not None:
                found[n, position] = first + token
        first += len(entry[f"tokens_{n}"])
    return found


def source_name(path: str) -> str:
    """A file's name without its ending."""
    return os.path.splitext(os.path.basename(path))[0]
