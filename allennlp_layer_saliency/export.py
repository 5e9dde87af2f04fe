"""
Explanations in other forms, and back: a tidy table (pandas; CSV, Parquet), and a Hugging Face data set with
the columns that Thermostat's have.

An explanation here is an output of the `saliency` predictor: a line of what `allennlp predict` wrote, parsed,
or what `read_run` gives of a folder of `allennlp saliency run`.
"""

import json
import re
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence

import pandas
from allennlp.common.util import JsonDict
from transformers import PreTrainedTokenizerBase

from allennlp_layer_saliency.display import text_numbers
from allennlp_layer_saliency.runs.folder import read_run

__all__ = [
    "from_frame",
    "from_thermostat",
    "read_frame",
    "read_run",
    "to_frame",
    "to_thermostat",
    "write_frame",
]

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
            name: _instance(of_instance)
            for name, of_instance in of_line.groupby("instance", sort=False)
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
        dtype={
            name: {"object": str, "Float64": float}.get(kind, kind)
            for name, kind in COLUMNS.items()
        },
        keep_default_na=False,
        na_values={name: [""] for name in COLUMNS if name != "token"},
        float_precision="round_trip",
    )
    return _with_ids(_typed(frame))


def to_thermostat(
    lines: Sequence[JsonDict],
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    model: str,
    dataset: str,
    explainer: str,
    config_name: Optional[str] = None,
) -> Any:
    """
    A `datasets.Dataset` with the columns and the description that Thermostat's have. Its reader takes the
    data set once `make_known_to_thermostat` has told it the labels.

    # Parameters

    lines : `Sequence[JsonDict]`
        Of one text each, explained at one layer. Lines with an error are left out; `idx` counts all.
    tokenizer : `PreTrainedTokenizerBase`
        The classifier's.
    labels : `Sequence[str]`
        The classes, in the order of the model's logits.
    model, dataset, explainer : `str`
        Their names. Thermostat loads the tokenizer by the model's.
    config_name : `str`, optional
        The name by which Thermostat looks up the labels. Left out: dataset, model and explainer. With one
        of Thermostat's own, of a data set with the same labels, its reader need not be told.

    # Returns

    `datasets.Dataset`
        Columns `attributions` (signed where there are signs), `idx`, `input_ids`, `label` (the gold label,
        -1 where it is not known), `predictions` (logits).

    # Raises

    `ValueError`
        If a line is of several texts, layers or explained scores, or its label is not one of the classes.
    """
    import datasets

    columns: Dict[str, List[Any]] = {
        name: [] for name in ("attributions", "idx", "input_ids", "label", "predictions")
    }
    for number, line in enumerate(lines):
        if "error" in line:
            continue
        instance, *others = line["saliency"].values()
        if others or "layers" in instance or "tokens_2" in instance:
            raise ValueError(
                f"explanation {number} is of several texts, layers or scores; Thermostat's form has room "
                "for one"
            )
        gold = line.get("gold_label")
        if gold is not None and gold not in labels:
            raise ValueError(
                f"explanation {number}: the label {gold!r} is not one of {list(labels)}"
            )
        columns["attributions"].append(instance.get("signed_1", instance["grad_input_1"]))
        columns["idx"].append(number)
        columns["input_ids"].append(tokenizer.convert_tokens_to_ids(instance["tokens_1"]))
        columns["label"].append(-1 if gold is None else list(labels).index(gold))
        columns["predictions"].append(line["logits"])
    features = datasets.Features(
        {
            "attributions": datasets.Sequence(datasets.Value("float64")),
            "idx": datasets.Value("int64"),
            "input_ids": datasets.Sequence(datasets.Value("int64")),
            "label": datasets.ClassLabel(names=list(labels)),
            "predictions": datasets.Sequence(datasets.Value("float64")),
        }
    )
    description = f"Dataset: {dataset}\nModel: {model}\nExplainer: {explainer}\n"
    # As in Thermostat's names; datasets refuses what can't be part of a file's name.
    name = config_name or re.sub(r"[<>:/\\|?*]", "_", f"{dataset}-{model}-{explainer}")
    return datasets.Dataset.from_dict(
        columns,
        info=datasets.DatasetInfo(description=description, features=features, config_name=name),
    )


def make_known_to_thermostat(dataset: Any) -> None:
    """
    Tell Thermostat's reader, in this process, the labels of a data set that `to_thermostat` made:

        dataset = datasets.load_from_disk("OUT")
        make_known_to_thermostat(dataset)
        thermostat.Thermopack(dataset)

    It takes data sets of those configurations only that it knows by their name.

    # Raises

    `ValueError`
        If Thermostat knows other labels by this name, or gold labels are missing: it would take those for
        the last class.
    """
    from thermostat.data.thermostat_configs import ThermostatConfig, builder_configs

    name, labels = dataset.info.config_name, dataset.features["label"].names
    missing = sum(label == -1 for label in dataset["label"])
    if missing:
        raise ValueError(
            f"{missing:,} of {len(dataset):,} texts have no gold label, which Thermostat takes for "
            f"{labels[-1]!r}; leave them out: dataset.filter(lambda row: row['label'] >= 0)"
        )
    for known in builder_configs:
        if known.name == name:
            if known.label_classes != labels:
                raise ValueError(
                    f"the labels of {name} are {known.label_classes} in Thermostat, and {labels} in this "
                    "data set; give to_thermostat another config_name"
                )
            return
    coordinates = dict(line.split(": ", 1) for line in dataset.info.description.splitlines())
    builder_configs.append(
        ThermostatConfig(
            name=name,
            description=f"{name}, by allennlp-layer-saliency",
            explainer=coordinates["Explainer"],
            model=coordinates["Model"],
            dataset=coordinates["Dataset"],
            features={key: key for key in ("attributions", "predictions", "input_ids")},
            label_column="label",
            label_classes=labels,
            text_column="text",
            # Where Thermostat would download it from, and what it says of its own.
            data_url="",
            citation="",
            url="",
        )
    )


def from_thermostat(dataset: Any, tokenizer: PreTrainedTokenizerBase) -> List[JsonDict]:
    """
    Explanations from a data set of Thermostat's form: tokens, scores, labels and logits. What the form has
    no room for, such as character offsets, is missing; lines that it left out are errors.
    """
    names = dataset.features["label"].names
    special = set(tokenizer.all_special_tokens) - {tokenizer.unk_token}
    lines: List[JsonDict] = []
    for row in dataset:
        while len(lines) < row["idx"]:
            lines.append({"error": "not in the data set"})
        tokens = tokenizer.convert_ids_to_tokens(row["input_ids"])
        scores = row["attributions"]
        total = sum(map(abs, scores)) or 1.0
        end = 0
        offsets: List[Optional[List[int]]] = []
        for token in tokens:
            # The text is not known: pieces one after the other, words apart.
            inside = token.startswith("##")
            start = end if inside else end + 1
            end = start + len(token)
            offsets.append(None if token in special else [start, end])
        predicted = max(range(len(names)), key=lambda i: row["predictions"][i])
        line: JsonDict = {"label": names[predicted], "logits": row["predictions"]}
        if row["label"] is not None and row["label"] >= 0:
            line["gold_label"] = names[row["label"]]
        line["saliency"] = {
            "instance_1": {
                "tokens_1": tokens,
                "offsets_1": offsets,
                "grad_input_1": [abs(score) / total for score in scores],
                "signed_1": scores,
            }
        }
        lines.append(line)
    return lines


def _rows(number: int, line: JsonDict) -> Iterator[JsonDict]:
    of_line = {
        "line": number,
        "id": line.get("id"),
        "gold_label": line.get("gold_label"),
        "predicted": line.get("label"),
        "probability": max(line["probs"]) if line.get("probs") else None,
    }
    for name, instance in line.get("saliency", {}).items():
        # The mean over several layers has no layer; then each of them.
        for entry in [instance, *instance.get("layers", [])]:
            target = entry.get("target", {})
            of_entry = {
                "instance": name,
                "target": target.get("label"),
                "target_kind": target.get("kind"),
                "target_score": target.get("score"),
                "layer": entry.get("layer"),
                "lost": entry.get("lost"),
            }
            for text in text_numbers(entry):
                scores = entry[f"grad_input_{text}"]
                for position, absolute in enumerate(scores):
                    offsets = instance[f"offsets_{text}"][position]
                    yield {
                        **of_line,
                        **of_entry,
                        "text": text,
                        "position": position,
                        "token": instance[f"tokens_{text}"][position],
                        "start": None if offsets is None else offsets[0],
                        "end": None if offsets is None else offsets[1],
                        "grad_input": absolute,
                        "score": (
                            entry[f"signed_{text}"][position] if f"signed_{text}" in entry else None
                        ),
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
    An id as a column of text can hold it: as it is, or as JSON if it is no string or could be taken for JSON.
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
