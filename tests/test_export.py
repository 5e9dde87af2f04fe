"""Explanations to tables and data sets, and back."""

import json
import random

import pandas
import pytest
from transformers import AutoTokenizer

from allennlp_layer_saliency import export
from tests.conftest import SENTENCES, build_predictor


def texts(count, layers):
    """Explanations with awkward tokens, numbers and ids, as the predictor writes them."""
    numbers = random.Random(count)
    tokens = ["<s>", "NA", "null", "", "1e5", "ĠcafÃ©", ",", '"', "</s>", "nan"]
    lines = []
    for i in range(count):
        n = numbers.randrange(1, 9)

        def entry(layer=None, n=n):
            scores = [numbers.gauss(0, 1) * 10.0 ** numbers.randrange(-9, 9) for _ in range(n)]
            total = sum(map(abs, scores))
            of_layer = {} if layer is None else {"layer": layer}
            return {
                "grad_input_1": [abs(score) / total for score in scores],
                **of_layer,
                "signed_1": scores,
                "lost": numbers.gauss(0, 1),
                "target": {"label": "a,b", "kind": "logit", "score": numbers.gauss(0, 1)},
            }

        instance = {
            "tokens_1": numbers.choices(tokens, k=n),
            "offsets_1": [None if k % 3 == 0 else [k, k + 1] for k in range(n)],
        }
        if layers == 1:
            instance.update(entry(2))
        else:
            instance["grad_input_1"] = [1 / n] * n
            instance["layers"] = [entry(layer) for layer in range(layers)]
        lines.append(
            {
                "id": f"t{i}",
                "gold_label": "positive",
                "label": "negative",
                "saliency": {"instance_1": instance},
            }
        )
    return lines


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_thousand_explanations_come_back_as_they_were(tmp_path, layers, ending):
    lines = texts(1000, layers)
    frame = export.to_frame(lines)
    path = str(tmp_path / f"out.{ending}")
    export.write_frame(frame, path)
    read = export.read_frame(path)
    pandas.testing.assert_frame_equal(read, frame)
    assert export.from_frame(read) == lines


def test_the_table_is_tidy(predictor):
    outputs = build_outputs(predictor, "layer-saliency", layer=[1, 2])
    frame = export.to_frame(outputs)
    assert list(frame.columns) == list(export.COLUMNS)
    # The mean and two layers for each token.
    instances = [o["saliency"]["instance_1"] for o in outputs if "error" not in o]
    assert len(frame) == 3 * sum(len(instance["tokens_1"]) for instance in instances)
    mean = frame[frame["layer"].isna()]
    assert mean["score"].isna().all() and not mean["grad_input"].isna().any()
    first = frame[(frame["line"] == 0) & (frame["layer"] == 2)]
    entry = outputs[0]["saliency"]["instance_1"]["layers"][1]
    assert first["score"].tolist() == entry["signed_1"]
    assert first["token"].tolist() == instances[0]["tokens_1"]
    assert first["start"].isna().tolist() == [o is None for o in instances[0]["offsets_1"]]


def build_outputs(predictor, type, **settings):
    saliency = build_predictor(
        predictor._dataset_reader._tokenizer.tokenizer.name_or_path,
        predictor="saliency",
        predictor_arguments={"interpreter": {"type": type, **settings}},
    )
    labels = ["negative", "positive"]
    lines = [{"sentence": sentence, "label": labels[i % 2]} for i, sentence in enumerate(SENTENCES[:5])]
    lines[3].pop("label")
    lines[2] = {"sentence": ""}
    return json.loads(json.dumps(saliency.predict_batch_json(lines)))


def test_errors_and_built_ins(predictor):
    frame = export.to_frame(build_outputs(predictor, "simple-gradient"))
    assert set(frame["line"]) == {0, 1, 3, 4}
    assert frame["score"].isna().all() and frame["layer"].isna().all()
    back = export.from_frame(frame)
    assert "signed_1" not in back[0]["saliency"]["instance_1"]


def test_ids(tmp_path):
    lines = texts(3, 1)
    for number, line in enumerate(lines):
        line["id"] = number
    path = str(tmp_path / "out.csv")
    export.write_frame(export.to_frame(lines), path)
    assert [line["id"] for line in export.from_frame(export.read_frame(path))] == [0, 1, 2]
    with pytest.raises(ValueError, match="must end in .csv or .parquet"):
        export.write_frame(export.to_frame(lines), "out.xlsx")


LABELS = ["negative", "positive", "mixed"]


def to_thermostat(outputs, folder, labels=LABELS, config_name=None):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer, export.to_thermostat(
        outputs, tokenizer, labels, folder, "sentences", "ours", config_name
    )


def test_thermostats_form(predictor, roberta_folder, tmp_path):
    import datasets

    outputs = build_outputs(predictor, "layer-saliency", layer=1)
    tokenizer, dataset = to_thermostat(outputs, roberta_folder)
    assert dataset.column_names == ["attributions", "idx", "input_ids", "label", "predictions"]
    assert dataset["idx"] == [0, 1, 3, 4] and dataset["label"] == [0, 1, -1, 0]
    assert dataset[0]["input_ids"] == tokenizer(" " + SENTENCES[0])["input_ids"]
    dataset.save_to_disk(str(tmp_path / "out"))
    again = datasets.load_from_disk(str(tmp_path / "out"))
    back = export.from_thermostat(again, tokenizer)
    for output, line in zip(outputs, back):
        if "error" in output:
            assert "error" in line
            continue
        (own,), (found,) = output["saliency"].values(), line["saliency"].values()
        for key in ("tokens_1", "signed_1"):
            assert found[key] == own[key]
        assert found["grad_input_1"] == pytest.approx(own["grad_input_1"])
        assert line["logits"] == output["logits"]
        assert line.get("gold_label") == output.get("gold_label")
        assert line["label"] == output["label"]


def test_what_thermostats_form_has_no_room_for(predictor, roberta_folder):
    outputs = build_outputs(predictor, "layer-saliency", layer=[1, 2])
    with pytest.raises(ValueError, match="explanation 0 is of several texts, layers or scores"):
        to_thermostat(outputs, roberta_folder)
    outputs = build_outputs(predictor, "layer-saliency", layer=1)
    outputs[0]["gold_label"] = "great"
    with pytest.raises(ValueError, match="the label 'great' is not one of"):
        to_thermostat(outputs, roberta_folder)


@pytest.fixture
def thermostat():
    return pytest.importorskip("thermostat")


def stored(dataset, tmp_path):
    import datasets

    dataset.save_to_disk(str(tmp_path / "out"))
    return datasets.load_from_disk(str(tmp_path / "out"))


def test_thermostats_reader_takes_it(thermostat, predictor, roberta_folder, tmp_path):
    outputs = build_outputs(predictor, "layer-saliency", layer=1)
    tokenizer, dataset = to_thermostat(outputs, roberta_folder)
    dataset = stored(dataset, tmp_path)
    with pytest.raises(ValueError, match="1 of 4 texts have no gold label.*'mixed'"):
        export.make_known_to_thermostat(dataset)
    dataset = dataset.filter(lambda row: row["label"] >= 0)
    export.make_known_to_thermostat(dataset)
    # A second time changes nothing.
    export.make_known_to_thermostat(dataset)
    pack = thermostat.Thermopack(dataset)
    assert pack.label_names == LABELS and len(pack) == 3
    assert (pack.dataset_name, pack.model_name) == ("sentences", roberta_folder)
    assert pack.explainer_name == "ours"
    for unit, output in zip(pack, [outputs[0], outputs[1], outputs[4]]):
        (instance,) = output["saliency"].values()
        assert unit.true_label == output["gold_label"]
        assert unit.predicted_label == output["label"]
        assert [token for token, *_ in unit.explanation] == instance["tokens_1"]
        assert [score for _, score, _ in unit.explanation] == instance["signed_1"]
        # Drawn from its own reading of the tokens.
        assert unit.heatmap["token"][0] == "<s>"


def test_one_of_thermostats_own_names(thermostat, predictor, roberta_folder, tmp_path):
    output, *_ = build_outputs(predictor, "layer-saliency", layer=1)
    labels = ["neg", "pos"]
    outputs = [{**output, "gold_label": "pos", "logits": [0.0, 1.0]}]
    _, dataset = to_thermostat(outputs, roberta_folder, labels, "imdb-roberta-lig")
    (unit,) = thermostat.Thermopack(stored(dataset, tmp_path))
    assert unit.true_label == unit.predicted_label == "pos"
    _, dataset = to_thermostat([output], roberta_folder, LABELS, "imdb-roberta-lig")
    with pytest.raises(ValueError, match="imdb-roberta-lig are .'neg', 'pos'. in Thermostat"):
        export.make_known_to_thermostat(dataset)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("ids", [["8", "007"], [8, "8", None], [["a", 1], {"b": 2}, "NaN"]])
def test_ids_stay_what_they_are(tmp_path, ids, ending):
    lines = texts(len(ids), 1)
    for line, id_ in zip(lines, ids):
        line["id"] = id_
    assert [line.get("id") for line in export.from_frame(export.to_frame(lines))] == ids
    path = str(tmp_path / f"out.{ending}")
    export.write_frame(export.to_frame(lines), path)
    assert [line.get("id") for line in export.from_frame(export.read_frame(path))] == ids
