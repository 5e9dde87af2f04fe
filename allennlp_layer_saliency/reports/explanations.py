"""Explanations in the compact form that the page of `allennlp saliency report` reads."""

import json
import os
from collections import Counter
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.display import described, plain, units
from allennlp_layer_saliency.output_line import InstanceScores, output_line

# Scores and amounts are only drawn: this many steps from 0 to the largest are enough.
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
        for number, line in enumerate(_utf_8(lines, path), start=1):
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


def _utf_8(lines: Iterable[str], path: str) -> Iterator[str]:
    """
    The lines of the file at `path`.

    # Raises

    `ConfigurationError`
        If the file is not UTF-8.
    """
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is not UTF-8, as explanations are written ({error.reason} at byte {error.start})"
        ) from error


def compact(files: Mapping[str, Sequence[Text]]) -> JsonDict:
    """
    # Parameters

    files : `Mapping[str, Sequence[Text]]`
        For each source (an interpreter) its explanations. The same text has the same number in each, or
        the same `id`; if several texts of a source share one, they are told apart by their order.

    # Returns

    `JsonDict`
        `steps`, what the largest score is; `pieces`, strings that the rest names by their number; `sources`,
        the names; `texts`, each with `n` and `id`, `gold` and `predicted` labels, `p`, and `views`: one for
        each source and explained score (see `_view`), or an `error`.
    """
    pieces = Pieces()
    texts: Dict[Any, JsonDict] = {}
    for source, lines in enumerate(files.values()):
        seen: Dict[str, int] = Counter()
        for number, line in lines:
            key: Any = number
            if "id" in line:
                # A source's lines that share an id are several texts.
                id_ = json.dumps(line["id"], sort_keys=True)
                seen[id_] += 1
                key = (id_, seen[id_])
            shown = output_line(line)
            text = texts.setdefault(key, {"n": line.get("line", number), "views": []})
            for name, value in (
                ("id", shown.id),
                ("gold", shown.gold_label),
                ("predicted", shown.predicted),
                ("p", None if shown.probability is None else round(shown.probability, 4)),
            ):
                if value is not None:
                    text[name] = value
            if shown.error is not None:
                text["views"].append({"source": source, "error": shown.error})
            for name, instance in shown.instances.items():
                text["views"].append({"source": source, **_view(instance, name, pieces)})
    return {"steps": STEPS, "sources": list(files), "pieces": pieces.listed(), "texts": list(texts.values())}


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
                **{key: line[key] for key in ("texts_1", "segments_1") if key in line},
            }
            if min(line["scores"]) < 0:
                instance["signed_1"] = line["scores"]
            content["label"] = line["predicted"]
            content["gold_label"] = line["label"]
            content["probs"] = [line["probability"]]
            content["saliency"] = {"instance_1": instance}
        files.setdefault(line["row"], []).append(Text(line["example"], content))
    return files


class _Shown:
    """What of an instance's texts is shown as one, numbered over all texts."""

    def __init__(self, instance: InstanceScores) -> None:
        self.units = [(text.number, unit) for text in instance.texts for unit in units(text)]
        self.of_token = {(n, token): i for i, (n, unit) in enumerate(self.units) for token in unit.tokens}

    def of_position(self, entry: InstanceScores) -> Dict[Tuple[int, int], int]:
        """For each text and position in it what is shown of it."""
        return {
            (text.number, position): self.of_token[text.number, token]
            for text in entry.texts
            for position, token in enumerate(text.token_of_position)
            if token is not None
        }

    def scores(self, entry: InstanceScores) -> List[float]:
        own = {text.number: text.scores for text in entry.texts}
        return [sum(own[n][token] for token in unit.tokens) for n, unit in self.units]


def _view(instance: InstanceScores, name: str, pieces: Pieces) -> JsonDict:
    """
    One explained score of a text by one source: `tokens` (numbers of pieces), `gaps` (what stands before
    them: 0 for nothing, 1 for a space, or the characters), `special` (1 for special tokens), `x` (which are
    what is explained, if it is a part of the text), and `layers`.
    """
    shown = _Shown(instance)
    gaps: List[Union[int, str]] = []
    latest: Optional[Tuple[int, Optional[int]]] = None
    after_special = True
    for number, unit in shown.units:
        gap = unit.gap
        if not unit.special:
            # Each text starts a line.
            if latest not in (None, (number, unit.segment)):
                gap = f"\n{gap}"
            elif after_special:
                gap = gap or " "
            latest = number, unit.segment
        after_special = unit.special
        gaps.append({"": 0, " ": 1}.get(gap, gap))
    view: JsonDict = {
        "tokens": [pieces.number(unit.text) for _, unit in shown.units],
        "gaps": gaps,
        "special": [int(unit.special) for _, unit in shown.units],
    }
    first, *_ = entries = instance.layers
    if first.target is not None:
        view["target"] = described(first.target)
        explained = _explained(first.target, shown)
        if explained:
            view["x"] = explained
    elif name != "instance_1":
        view["target"] = name.replace("_", " ")
    view["layers"] = [_layer(entry, shown, pieces) for entry in entries]
    return view


def _explained(target: JsonDict, shown: _Shown) -> List[int]:
    """What of the text is explained, if that is a part of it: a tagger's span, a reader's answer, a mask."""
    first = shown.units[0][0] if shown.units else 1
    tokens = range(target["span"][0], target["span"][1] + 1) if "span" in target else ()
    if "position" in target:
        tokens = range(target["position"], target["position"] + 1)
    places = {shown.of_token.get((first, token)) for token in tokens}
    return sorted(place for place in places if place is not None)


def _layer(entry: InstanceScores, shown: _Shown, pieces: Pieces) -> JsonDict:
    """
    `l`, the layer; `s`, scores from -STEPS to STEPS, and `m`, what STEPS stands for; where there are any:
    `d`, for each token the tokens it decodes to, each a piece's number and a probability in percent, one
    after the other; `f`, for each token the tokens that gave, each a place and a share of `m` like a score;
    `v`, salient words of the vocabulary like `d`, with scores; `lost`.
    """
    of_units = shown.scores(entry)
    largest = max(map(abs, of_units), default=0.0)

    def steps(value: float) -> int:
        return round(STEPS * value / largest) if largest else 0

    layer: JsonDict = {
        "l": entry.layer,
        "m": float(f"{largest:.4g}"),
        "s": [steps(score) for score in of_units],
        "signed": int(entry.signed),
    }
    if entry.lost is None:
        return layer
    decoded: List[List[int]] = []
    for items in _decoded_of_units(entry, shown):
        listed: List[int] = []
        for rank, item in enumerate(items[:DECODED]):
            percent = round(100 * item["probability"])
            if percent or not rank:
                listed += [pieces.number(plain(item["token"])), percent]
        decoded.append(listed)
    # Undecoded, each token has what it has from itself.
    if any(decoded):
        layer["d"] = decoded
        layer["f"] = _given(entry, shown, steps)
        layer["lost"] = float(f"{entry.lost:.3g}")
    if entry.vocabulary:
        layer["v"] = [
            number
            for item in entry.vocabulary[:VOCABULARY]
            for number in (pieces.number(plain(item["token"])), float(f"{item['score']:.3g}"))
        ]
    return layer


def _given(entry: InstanceScores, shown: _Shown, steps: Callable[[float], int]) -> List[List[int]]:
    places = shown.of_position(entry)
    sources = {text.number: text.sources or [] for text in entry.texts}
    given: List[List[int]] = []
    for n, unit in shown.units:
        amounts: Dict[int, float] = {}
        for token in unit.tokens:
            for source in sources[n][token]:
                giver = places.get((source.get("text", n), source["position"]))
                if giver is not None:
                    amounts[giver] = amounts.get(giver, 0.0) + source["amount"]
        most = sorted(amounts, key=lambda giver: -abs(amounts[giver]))[:SOURCES]
        given.append([i for g in most if steps(amounts[g]) for i in (g, steps(amounts[g]))])
    return given


def _decoded_of_units(entry: InstanceScores, shown: _Shown) -> List[List[JsonDict]]:
    """What each decodes to, most probable first. Of several pieces the first that is decoded speaks."""
    places = shown.of_position(entry)
    found: List[List[JsonDict]] = [[] for _ in shown.units]
    for text in entry.texts:
        for position, items in enumerate(text.decoded):
            place = places.get((text.number, position))
            if place is not None and not found[place]:
                found[place] = items
    return found


def decoded_of_tokens(entry: InstanceScores) -> List[List[JsonDict]]:
    """
    For each token, those of all texts one after the other, what it decodes to, most probable first. Of a
    word of several pieces the first that is decoded speaks.
    """
    found: List[List[JsonDict]] = []
    for text in entry.texts:
        own: List[List[JsonDict]] = [[] for _ in text.tokens]
        for token, items in zip(text.token_of_position, text.decoded):
            if token is not None and not own[token]:
                own[token] = items
        found += own
    return found


def source_name(path: str) -> str:
    """A file's name without its ending."""
    return os.path.splitext(os.path.basename(path))[0]
