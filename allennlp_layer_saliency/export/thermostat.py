"""Explanations as a Hugging Face data set with the columns that Thermostat's have, and back."""

import re
from typing import Any, Dict, List, Optional, Sequence

from allennlp.common.util import JsonDict
from transformers import PreTrainedTokenizerBase

from allennlp_layer_saliency.output_line import output_line


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
    for number, content in enumerate(lines):
        line = output_line(content)
        if line.error is not None:
            continue
        instance, *others = line.instances.values()
        text, *more = instance.texts
        if others or more or instance.several:
            raise ValueError(
                f"explanation {number} is of several texts, layers or scores; Thermostat's form has room "
                "for one"
            )
        gold = line.gold_label
        if gold is not None and gold not in labels:
            raise ValueError(f"explanation {number}: the label {gold!r} is not one of {list(labels)}")
        columns["attributions"].append(text.scores)
        columns["idx"].append(number)
        columns["input_ids"].append(tokenizer.convert_tokens_to_ids(text.tokens))
        columns["label"].append(-1 if gold is None else list(labels).index(gold))
        columns["predictions"].append(line.logits)
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
