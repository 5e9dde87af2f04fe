"""Explanations as a tidy table (pandas; CSV, Parquet), and back."""

import json
from typing import Any, Iterable, Iterator, List, Optional, Sequence

import pandas
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.output_line import output_line

# A row is a token; the types are such that a missing value stays one.
COLUMNS = {
    "line": "int64",
    "id": "object",
    "gold_label": "object",
    "predicted": "object",
    "probability": "Float64",
    "instance": "object",
    "target": "object",
    "target_kind": "object",
    "target_score": "Float64",
    "layer": "Int64",
    "text": "int64",
    "position": "int64",
    "token": "object",
    "start": "Int64",
    "end": "Int64",
    "grad_input": "Float64",
    "score": "Float64",
    "lost": "Float64",
}


def to_frame(lines: Iterable[JsonDict]) -> pandas.DataFrame:
    """
    One row for each token of each text, layer and explained score; see `COLUMNS`.

    `line` counts the explanations from 0, `position` the text's tokens. `score` is the signed score, and
    missing where the interpreter gives none. Of an instance with several layers the rows without a layer
    are the mean over them. Lines with an error, decoded words and sources are left out.
    """
    rows = [row for number, line in enumerate(lines) for row in _rows(number, line)]
    return _typed(pandas.DataFrame(rows, columns=list(COLUMNS)))


def from_frame(frame: pandas.DataFrame) -> List[JsonDict]:
    """The reverse of `to_frame`, as far as the table knows: what it leaves out is missing."""
    lines: List[JsonDict] = []
    for _, of_line in frame.groupby("line", sort=True):
        first = of_line.iloc[0]
        line: JsonDict = {
            name: first[column]
            for name, column in (("id", "id"), ("gold_label", "gold_label"), ("label", "predicted"))
            if first[column] is not None
        }
        line["saliency"] = {
            name: _instance(of_instance) for name, of_instance in of_line.groupby("instance", sort=False)
        }
        lines.append(line)
    return lines


def write_frame(frame: pandas.DataFrame, path: str) -> None:
    """
    A table as CSV or Parquet, by the path's ending.

    # Raises

    `ValueError`
        If the ending is another.
    """
    frame = frame.assign(id=frame["id"].map(_id_to_text).astype(object))
    if path.endswith(".csv"):
        frame.to_csv(path, index=False)
    elif path.endswith(".parquet"):
        frame.to_parquet(path, index=False)
    else:
        raise ValueError(f"the file's name must end in .csv or .parquet; got {path}")


def read_frame(path: str) -> pandas.DataFrame:
    """The table that `write_frame` wrote."""
    if path.endswith(".parquet"):
        return _with_ids(_typed(pandas.read_parquet(path)))
    frame = pandas.read_csv(
        path,
        # A token may well be "NA", "null" or "1e5"; pandas' own missing floats are read inexactly.
        dtype={name: {"object": str, "Float64": float}.get(kind, kind) for name, kind in COLUMNS.items()},
        keep_default_na=False,
        na_values={name: [""] for name in COLUMNS if name != "token"},
        float_precision="round_trip",
    )
    return _with_ids(_typed(frame))


def _rows(number: int, content: JsonDict) -> Iterator[JsonDict]:
    line = output_line(content)
    of_line = {
        "line": number,
        "id": line.id,
        "gold_label": line.gold_label,
        "predicted": line.predicted,
        "probability": line.probability,
    }
    for name, instance in line.instances.items():
        # The mean over several layers has no layer; then each of them.
        for entry in [instance, *instance.several]:
            target = entry.target or {}
            of_entry = {
                "instance": name,
                "target": target.get("label"),
                "target_kind": target.get("kind"),
                "target_score": target.get("score"),
                "layer": entry.layer,
                "lost": entry.lost,
            }
            for text in entry.texts:
                signed: Sequence[Optional[float]] = text.signed or [None] * len(text.absolute)
                of_tokens = zip(text.tokens, text.offsets, text.absolute, signed)
                for position, (token, offsets, absolute, score) in enumerate(of_tokens):
                    start, end = (None, None) if offsets is None else offsets
                    yield {
                        **of_line,
                        **of_entry,
                        "text": text.number,
                        "position": position,
                        "token": token,
                        "start": start,
                        "end": end,
                        "grad_input": absolute,
                        "score": score,
                    }


def _instance(rows: pandas.DataFrame) -> JsonDict:
    """One explained score, with its layers if there are several."""
    # Rows without a layer are the mean over several, and come first.
    first, *layers = (of_layer for _, of_layer in rows.groupby("layer", sort=False, dropna=False))
    instance: JsonDict = {}
    for text, of_text in first.groupby("text", sort=True):
        instance[f"tokens_{text}"] = of_text["token"].tolist()
        instance[f"offsets_{text}"] = [
            None if pandas.isna(start) else [int(start), int(end)]
            for start, end in zip(of_text["start"], of_text["end"])
        ]
    instance.update(_entry(first))
    if layers:
        instance["layers"] = [_entry(of_layer) for of_layer in layers]
    return instance


def _entry(rows: pandas.DataFrame) -> JsonDict:
    layer = rows.iloc[0]["layer"]
    entry: JsonDict = {} if pandas.isna(layer) else {"layer": int(layer)}
    for text, of_text in rows.groupby("text", sort=True):
        entry[f"grad_input_{text}"] = of_text["grad_input"].astype(float).tolist()
        if not of_text["score"].isna().any():
            entry[f"signed_{text}"] = of_text["score"].astype(float).tolist()
    first = rows.iloc[0]
    if not pandas.isna(first["target"]):
        entry["target"] = {
            "label": first["target"],
            "kind": first["target_kind"],
            "score": float(first["target_score"]),
        }
    if not pandas.isna(first["lost"]):
        entry["lost"] = float(first["lost"])
    return entry


def _typed(frame: pandas.DataFrame) -> pandas.DataFrame:
    frame = frame.astype(COLUMNS)
    for name, kind in COLUMNS.items():
        if kind == "object":
            frame[name] = frame[name].where(frame[name].notna(), None)
    return frame


def _with_ids(frame: pandas.DataFrame) -> pandas.DataFrame:
    ids = [_id_from_text(text) for text in frame["id"]]
    # Not as an array of its own, which would take lists apart.
    return frame.assign(id=pandas.Series(ids, index=frame.index, dtype=object))


def _id_to_text(id_: Any) -> Optional[str]:
    """
    An id as a column of text can hold it: itself, or JSON if it is not a string or could be taken for JSON.
    So 8 and "8" stay what they are, and lists are possible.
    """
    if id_ is None or (isinstance(id_, str) and _id_from_text(id_) is id_):
        return id_
    return json.dumps(id_)


def _id_from_text(text: Optional[str]) -> Any:
    """The reverse of `_id_to_text`."""
    if text is None:
        return None
    try:
        return json.loads(text, parse_constant=_not_json)
    except (RecursionError, ValueError):
        return text


def _not_json(name: str) -> None:
    raise ValueError(name)
