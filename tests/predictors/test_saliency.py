import gzip
import json
import logging

import pytest
import torch
from allennlp.commands import main as allennlp_main
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.models.archival import archive_model
from allennlp.predictors import Predictor

from allennlp_layer_saliency.predictors import SaliencyPredictor
from tests.conformance import rows
from tests.conftest import SENTENCES, build_predictor, hook_count, model_config, reader_config

BUILT_INS = ("simple-gradient", "integrated-gradient", "smooth-gradient")
OURS = ("decoded-layer-saliency", "projected-gradient-saliency", "layer-saliency")


@SaliencyInterpreter.register("test-nan")
class NaNInterpreter(SaliencyInterpreter):
    def saliency_interpret_from_json(self, inputs: JsonDict) -> JsonDict:
        (instance,) = self.predictor.json_to_labeled_instances(inputs)
        scores = [0.5] * len(instance["tokens"].tokens)
        if "bad" in [token.text.replace("Ġ", "") for token in instance["tokens"].tokens]:
            scores[1] = float("nan")
        return {"instance_1": {"grad_input_1": scores}}


@SaliencyInterpreter.register("test-messy")
class MessyInterpreter(SaliencyInterpreter):
    def saliency_interpret_from_json(self, inputs: JsonDict) -> JsonDict:
        model = self.predictor._model
        model.register_forward_hook(lambda *_: None)
        self.predictor._token_offsets.append(torch.zeros(1))
        raise RuntimeError("left\na mess")


@pytest.fixture(scope="module")
def archive(roberta_folder, tmp_path_factory) -> str:
    """An archive as `allennlp train` would write it, around a seeded model."""
    folder = tmp_path_factory.mktemp("classifier")
    predictor = build_predictor(roberta_folder)
    config = {
        "dataset_reader": reader_config(roberta_folder),
        "model": model_config(roberta_folder),
    }
    Params(config).to_file(str(folder / "config.json"))
    predictor._model.vocab.save_to_files(str(folder / "vocabulary"))
    torch.save(predictor._model.state_dict(), folder / "best.th")
    archive_model(folder)
    return str(folder / "model.tar.gz")


def saliency_predictor(roberta_folder, **arguments) -> SaliencyPredictor:
    return build_predictor(
        roberta_folder,
        predictor="saliency",
        predictor_arguments={"inner": "text_classifier", **arguments},
    )


def run(archive, tmp_path, lines, *flags, **predictor_args):
    """`allennlp predict` in this process; returns the parsed output lines."""
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    source.write_text(text + "\n", encoding="utf-8")
    main(
        ["predict", archive, str(source), "--predictor", "saliency", "--silent"]
        + ["--predictor-args", json.dumps(predictor_args), "--output-file", str(output), *flags]
    )
    return [json.loads(line, parse_constant=pytest.fail) for line in output.read_text().splitlines()]


def main(arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["allennlp", *arguments])
        allennlp_main()


@pytest.mark.parametrize("name", BUILT_INS + OURS)
@pytest.mark.parametrize("batch_size", ["1", "3"])
def test_predict(archive, tmp_path, name, batch_size):
    lines = [{"sentence": sentence, "id": i} for i, sentence in enumerate(SENTENCES)]
    out = run(archive, tmp_path, lines, "--batch-size", batch_size, interpreter=name)
    assert [line["id"] for line in out] == list(range(len(SENTENCES)))
    predictor = Predictor.from_path(archive)
    for line, result in zip(lines, out):
        prediction = predictor.predict_json(line)
        assert result["label"] == prediction["label"]
        assert result["probs"] == pytest.approx(prediction["probs"], abs=1e-6)
        instance = result["saliency"]["instance_1"]
        assert instance["tokens_1"] == prediction["tokens"]
        assert len(instance["grad_input_1"]) == len(instance["offsets_1"]) == len(prediction["tokens"])
        total = sum(instance["grad_input_1"])
        assert total == pytest.approx(1, abs=1e-5) or total == 0


@pytest.mark.parametrize("name", ["simple-gradient", "integrated-gradient"])
def test_built_ins_give_what_they_give_alone(archive, tmp_path, name):
    out = run(archive, tmp_path, [{"sentence": SENTENCES[1]}], interpreter=name)
    alone = SaliencyInterpreter.by_name(name)(Predictor.from_path(archive))
    wanted = alone.saliency_interpret_from_json({"sentence": SENTENCES[1]})
    assert out[0]["saliency"]["instance_1"]["grad_input_1"] == pytest.approx(
        wanted["instance_1"]["grad_input_1"], abs=1e-6
    )


@pytest.mark.parametrize("name", ["decoded-layer-saliency", "simple-gradient"])
def test_bad_lines_never_lose_the_good_ones(archive, tmp_path, name):
    lines = [
        {"sentence": "good", "id": "a"},
        '{"sentence": "good"',
        "",
        {"text": "good", "id": "c"},
        {"sentence": ""},
        "[1, 2]",
        {"sentence": 7},
        {"sentence": "good " * 99 + "good", "id": 6},
        '{"sentence": "\\ud800"}',
        {"sentence": "bad"},
    ]
    out = run(archive, tmp_path, lines, "--batch-size", "4", interpreter=name)
    # A lone surrogate is no text that anyone meant; some tokenizers have word pieces for it.
    *_, surrogate, _ = out
    assert "saliency" in surrogate or "'sentence' holds '\\ud800', half of a" in surrogate["error"]
    out.remove(surrogate)
    errors = {result.get("line"): result.get("error") for result in out}
    assert [sorted(r) for r in out if "error" in r] == [
        ["error", "line"],
        ["error", "id", "line"],
        ["error", "line"],
        ["error", "line"],
        ["error", "line"],
        ["error", "id", "line"],
    ]
    assert "not valid JSON" in errors[2]
    assert errors[3] == "the line has no field 'sentence'; it has 'text', 'id'"
    assert "the text is empty" in errors[4]
    assert "a line must hold a JSON object; this one holds list" in errors[5]
    assert all("\n" not in error for error in errors.values() if error)
    if name == "decoded-layer-saliency":
        assert "102 word pieces; the model has room for 64" in errors[7]
    assert errors[6] == "a text is wanted, but 'sentence' holds int"
    assert set(errors) == {None, 2, 3, 4, 5, 6, 7}
    assert ["saliency" in result for result in out] == [True] + [False] * 6 + [True]


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"sentence": "good", "id": NaN}', "not valid JSON: NaN is not a JSON value"),
        ("[" * 100_000, "not valid JSON"),
        ('"good"', "a line must hold a JSON object; this one holds str"),
    ],
)
def test_lines_that_are_no_json_object(roberta_folder, line, message):
    predictor = saliency_predictor(roberta_folder, interpreter="layer-saliency")
    out = predictor.predict_json(predictor.load_line(line))
    assert sorted(out) == ["error", "line"] and out["error"].startswith(message)
    predictor.dump_line(out)


@pytest.mark.parametrize("name", BUILT_INS)
def test_built_ins_explain_models_without_a_transformer(name):
    model = {
        "type": "basic_classifier",
        "text_field_embedder": {
            "token_embedders": {"tokens": {"type": "embedding", "embedding_dim": 4, "num_embeddings": 9}}
        },
        "seq2vec_encoder": {"type": "boe", "embedding_dim": 4},
    }
    predictor = build_predictor(
        "",
        reader={"type": "text_classification_json", "tokenizer": "whitespace"},
        model=model,
        predictor="saliency",
        predictor_arguments={"interpreter": name},
    )
    out = predictor.predict_json({"sentence": "a good film"})
    instance = out["saliency"]["instance_1"]
    assert instance["tokens_1"] == ["a", "good", "film"]
    assert sum(instance["grad_input_1"]) == pytest.approx(1)
    assert "the text is empty" in predictor.predict_json({"sentence": " "})["error"]


def test_the_count_of_errors_ends_standard_error(archive, tmp_path, roberta_folder, capsys):
    predictor = saliency_predictor(roberta_folder)
    good, bad = predictor.load_line('{"sentence": "good"}\n'), predictor.load_line("{")
    predictor.predict_batch_json([good, bad])
    predictor._report_errors()
    assert capsys.readouterr().err.startswith("1 of 2 inputs could not be explained")


@pytest.mark.parametrize(
    "message, said",
    [
        ("no kernel image is available", "RuntimeError: no kernel image is available"),
        (
            "CUDA out of memory.",
            "the device's memory does not suffice for a single text of 3 word pieces",
        ),
    ],
)
def test_one_input_that_fails_in_a_batch_does_not_fail_the_others(roberta_folder, monkeypatch, message, said):
    predictor = saliency_predictor(roberta_folder, interpreter="layer-saliency")
    forward = predictor._model.forward

    def picky(tokens, **kwargs):
        bad = predictor._dataset_reader._tokenizer.tokenizer.convert_tokens_to_ids("Ġbad")
        if (tokens["tokens"]["token_ids"] == bad).any():
            raise RuntimeError(message)
        return forward(tokens, **kwargs)

    monkeypatch.setattr(predictor._model, "forward", picky)
    out = predictor.predict_batch_json([{"sentence": "good"}, {"sentence": "bad"}, {"sentence": "slow"}])
    assert ["error" in line for line in out] == [False, True, False]
    assert out[1]["error"].startswith(said)


def test_an_unexpected_error_is_logged_once_and_counted(roberta_folder, monkeypatch, caplog, capsys):
    predictor = saliency_predictor(roberta_folder, interpreter="layer-saliency")

    def broken(**_):
        raise RuntimeError("a bug")

    lines = [predictor.load_line(json.dumps({"sentence": text})) for text in ("", *SENTENCES[:3])]
    monkeypatch.setattr(predictor._model, "forward", broken)
    out = predictor.predict_batch_json(lines)
    assert [line["error"] for line in out[1:]] == ["RuntimeError: a bug"] * 3
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert record.exc_info[1].args == ("a bug",)
    predictor._report_errors()
    said = capsys.readouterr().err
    assert said.startswith("4 of 4 inputs could not be explained")
    assert "(3 of an unexpected kind, see the traceback)" in said


def test_an_inputs_own_fault_is_not_logged(roberta_folder, caplog):
    predictor = saliency_predictor(roberta_folder, interpreter="layer-saliency")
    assert "error" in predictor.predict_json({"sentence": ""})
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_use_dataset_reader(archive, tmp_path):
    source = tmp_path / "data.jsonl"
    rows = [{"text": sentence, "label": "positive"} for sentence in SENTENCES[:4]]
    source.write_text("\n".join(map(json.dumps, rows)) + "\n")
    for name in ("layer-saliency", "simple-gradient"):
        output = tmp_path / f"{name}.jsonl"
        main(
            ["predict", archive, str(source), "--predictor", "saliency", "--use-dataset-reader"]
            + ["--predictor-args", json.dumps({"interpreter": name}), "--silent"]
            + ["--output-file", str(output), "--batch-size", "3"]
        )
        by_reader = [json.loads(line)["saliency"] for line in output.read_text().splitlines()]
        lines = [{"sentence": row["text"]} for row in rows]
        by_json = [line["saliency"] for line in run(archive, tmp_path, lines, interpreter=name)]
        assert len(by_reader) == 4
        for one, other in zip(by_reader, by_json):
            assert one["instance_1"]["grad_input_1"] == pytest.approx(
                other["instance_1"]["grad_input_1"], abs=1e-5
            )


def test_gzip_and_console_output(archive, tmp_path, capsys):
    source = tmp_path / "in.jsonl.gz"
    with gzip.open(source, "wt") as file:
        file.write('{"sentence": "good"}\nnonsense\n')
    main(
        ["predict", archive, str(source), "--predictor", "saliency"]
        + ["--predictor-args", '{"interpreter": "layer-saliency"}']
    )
    printed = capsys.readouterr().out
    assert 'input 0:  {"sentence": "good"}' in printed
    assert 'input 1:  {"unparsed": "nonsense"}' in printed
    assert printed.count("prediction: ") == 2


def test_an_interpreter_from_a_file_an_object_or_a_name(roberta_folder, tmp_path):
    path = tmp_path / "interpreter.jsonnet"
    path.write_text('local n = 1; { type: "layer-saliency", layer: n }  // a comment')
    line = {"sentence": "good"}
    config = {"type": "layer-saliency", "layer": 1}
    for interpreter, layer in ((str(path), 1), (config, 1), ("layer-saliency", 0)):
        out = saliency_predictor(roberta_folder, interpreter=interpreter).predict_json(line)
        assert out["saliency"]["instance_1"]["layer"] == layer
    assert config == {"type": "layer-saliency", "layer": 1}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"interpreter": "simple-gradients"},
            "no interpreter is registered as 'simple-gradients'; there are",
        ),
        ({"interpreter": "nowhere.jsonnet"}, "interpreter: no file nowhere.jsonnet"),
        ({"interpreter": {"layer": 1}}, "no interpreter is registered as None"),
        ({"interpreter": {"type": "layer-saliency", "layr": 1}}, "layr"),
        ({"interpreter": {"type": "simple-gradient", "steps": 3}}, "steps"),
        (
            {"interpretr": "simple-gradient"},
            "no argument interpretr; it takes `interpreter` and `inner`",
        ),
        ({"inner": "text_clasifier"}, "no predictor to explain is registered as 'text_clasifier'"),
        ({"inner": "saliency"}, "no predictor to explain is registered as 'saliency'"),
        ({"inner": {"type": "text_classifier", "languag": "en"}}, "inner: .*languag"),
    ],
)
def test_bad_arguments(roberta_folder, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        saliency_predictor(roberta_folder, **arguments)


def test_an_inner_predictor_with_arguments_of_its_own(tmp_path):
    # Without a tag for "outside" each token is a span, whatever the weights.
    tagger, lines = rows.tagger(["LOC", "PER"], 5, type="simple_tagger")(tmp_path)
    inner = {"type": "sentence_tagger", "language": str(tmp_path / "spacy")}
    predictor = SaliencyPredictor(tagger._model, tagger._dataset_reader, "layer-saliency", inner=inner)
    output = predictor.predict_json(lines[0])
    assert output["tags"] == tagger.predict_json(lines[0])["tags"]
    targets = [entry["target"] for entry in output["saliency"].values()]
    assert [target["label"] for target in targets] == output["tags"]
    assert [target["span"] for target in targets] == [[i, i] for i in range(len(targets))]


def test_a_broken_config_file_is_one_line(roberta_folder, tmp_path):
    path = tmp_path / "broken.jsonnet"
    path.write_text("{ type: ")
    with pytest.raises(ConfigurationError, match="broken.jsonnet is not valid") as error:
        saliency_predictor(roberta_folder, interpreter=str(path))
    assert "\n" not in str(error.value)


def test_a_model_without_default_predictor_asks_for_one(roberta_folder, monkeypatch):
    from allennlp.models import BasicClassifier

    monkeypatch.setattr(BasicClassifier, "default_predictor", None)
    with pytest.raises(ConfigurationError, match="BasicClassifier has no default predictor; name one"):
        build_predictor(roberta_folder, predictor="saliency")


@pytest.mark.parametrize("name", ["simple-gradient", "layer-saliency"])
def test_gold_labels_are_the_models_own(roberta_folder, caplog, name):
    predictor = saliency_predictor(roberta_folder, interpreter=name)
    labels = ["positive", 1, None, "great", True, ["positive"]]
    lines = [{"sentence": SENTENCES[0], "label": label} for label in labels]
    with caplog.at_level(logging.WARNING, "allennlp_layer_saliency"):
        outputs = [
            *predictor.predict_batch_json(lines[:3]),
            *predictor.predict_batch_json(lines[3:]),
        ]
    # An index, of which nobody knows in what order it counts, would make every prediction look wrong.
    assert [output.get("gold_label") for output in outputs] == ["positive"] + [None] * 5
    assert all("error" not in output for output in outputs)
    (record,) = [r for r in caplog.records if r.name.startswith("allennlp_layer_saliency")]
    assert record.getMessage() == (
        "the label 1 is not one of the model's (negative, positive, mixed); such labels are left out of "
        "the output"
    )


def test_gold_labels_of_instances(roberta_folder, caplog):
    predictor = saliency_predictor(roberta_folder, interpreter="layer-saliency")
    reader = predictor._dataset_reader
    instances = [reader.text_to_instance(SENTENCES[0], label) for label in ("mixed", "great")]
    outputs = predictor.predict_batch_instance(instances)
    assert [output.get("gold_label") for output in outputs] == ["mixed", None]
    assert "the label 'great' is not one of" in caplog.text


def test_a_model_without_names_of_its_labels(roberta_folder, caplog):
    predictor = build_predictor(
        roberta_folder,
        model={**model_config(roberta_folder), "num_labels": 2},
        labels=[],
        predictor="saliency",
        predictor_arguments={"interpreter": "layer-saliency"},
    )
    lines = [{"sentence": SENTENCES[0], "label": label} for label in (0, "1", 2)]
    outputs = predictor.predict_batch_json(lines)
    assert [output.get("gold_label") for output in outputs] == ["0", "1", None]
    assert outputs[0]["label"] in ("0", "1")


def test_nan_becomes_an_error(roberta_folder):
    predictor = saliency_predictor(roberta_folder, interpreter="test-nan")
    good, bad = predictor.predict_batch_json([{"sentence": "good"}, {"sentence": "bad", "id": 1}])
    assert "saliency" in good
    assert bad == {"id": 1, "error": "saliency.instance_1.grad_input_1.1 is NaN or infinite"}


@pytest.mark.parametrize("name", BUILT_INS + OURS)
def test_all_zero_scores_stay_all_zero(roberta_folder, name):
    predictor = saliency_predictor(roberta_folder, interpreter=name)
    with torch.no_grad():
        predictor._model._classification_layer.weight.zero_()
    out = predictor.predict_json({"sentence": "good"})
    assert out["saliency"]["instance_1"]["grad_input_1"] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", BUILT_INS + ("test-messy",))
def test_others_interpreters_leave_nothing_behind(roberta_folder, name):
    predictor = saliency_predictor(roberta_folder, interpreter=name)
    model = predictor._model
    model._classification_layer.bias.requires_grad_(False)

    def state():
        hooks = hook_count(model)
        flags = [p.requires_grad for p in model.parameters()]
        gradients = [p.grad for p in model.parameters()]
        metrics = dict(vars(model._accuracy))
        return hooks, flags, gradients, metrics, len(predictor.inner._token_offsets)

    before = state()
    out = predictor.predict_json({"sentence": "good"})
    assert state() == before
    if name == "test-messy":
        assert out == {"error": "RuntimeError: left a mess"}


def test_a_classifier_that_cannot_name_its_pieces_gives_a_result(roberta_folder):
    """basic_classifier's own default namespace is not the transformer's."""
    config = model_config(roberta_folder)
    del config["namespace"]
    plain = build_predictor(roberta_folder, model=config)
    with pytest.raises(KeyError):
        plain.predict_json({"sentence": "good"})
    interpreter = SaliencyInterpreter.from_params(Params({"type": "layer-saliency"}), predictor=plain)
    assert interpreter.saliency_interpret_from_json({"sentence": "good"})["instance_1"]["signed_1"]
    for name in ("simple-gradient", "layer-saliency"):
        predictor = build_predictor(
            roberta_folder,
            model=config,
            predictor="saliency",
            predictor_arguments={"interpreter": name},
        )
        assert predictor.predict_json({"sentence": "good"})["tokens"] == ["<s>", "Ġgood", "</s>"]


@pytest.mark.parametrize("name", BUILT_INS + OURS)
def test_textual_entailment_with_one_field(bert_folder, name):
    """A classifier of one field calls its logits `logits`, which AllenNLP's predictor does not find."""
    tokenizer = {
        "type": "pretrained_transformer",
        "model_name": bert_folder,
        "add_special_tokens": False,
    }
    predictor = build_predictor(
        bert_folder,
        reader={**reader_config(bert_folder), "type": "snli", "tokenizer": tokenizer},
        predictor="saliency",
        predictor_arguments={
            "inner": "textual_entailment",
            "interpreter": name,
        },
    )
    out = predictor.predict_json({"premise": "a slow film", "hypothesis": "the film is bad"})
    instance = out["saliency"]["instance_1"]
    assert instance["tokens_1"] == "[CLS] a slow film [SEP] the film is bad [SEP]".split()
    assert len(instance["grad_input_1"]) == 10


@pytest.mark.parametrize("blank", [" ", "\r", "\t \n", "\x0b"])
def test_white_space_is_no_text(predictor, blank):
    """Byte-level tokenizers have a piece for each kind of it."""
    config = {"type": "layer-saliency", "layer": 1}
    saliency = SaliencyPredictor(predictor._model, predictor._dataset_reader, config)
    assert "the text is empty" in saliency.predict_json({"sentence": blank})["error"]


@pytest.mark.parametrize(
    "line, hint",
    [
        (
            {"premise": "a man", "hypothesis": "he"},
            '; "inner": "textual_entailment" reads premise and hypothesis',
        ),
        ({"question": "who", "context": "a man"}, '; "inner": "transformer_qa" reads question and context'),
        ({"document": "a man"}, '; "inner": "coreference_resolution" reads document'),
        ({"premise": "a man"}, "it has 'premise'"),
    ],
)
def test_a_line_for_another_predictor_says_for_which(predictor, line, hint):
    config = {"type": "layer-saliency", "layer": 1}
    saliency = SaliencyPredictor(predictor._model, predictor._dataset_reader, config)
    assert saliency.predict_json(line)["error"].endswith(hint)
