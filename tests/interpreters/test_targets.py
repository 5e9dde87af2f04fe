import copy
from dataclasses import replace

import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.data import Vocabulary
from allennlp.data.dataset_readers.dataset_utils import span_utils
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from allennlp_layer_saliency.interpreters.targets import (
    Choice,
    ModelTarget,
    tagged_spans,
    target_type,
)
from allennlp_layer_saliency.models.allennlp import metrics_preserved
from tests.conformance import rows


class Labelled(torch.nn.Module):
    """As much of a model as a target reads."""

    def __init__(self, *labels):
        super().__init__()
        self.vocab = Vocabulary.empty()
        for label in labels:
            self.vocab.add_token_to_namespace(label, "labels")


CPU = torch.device("cpu")
OUTPUTS = {"logits": torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, -2.0]])}


def scores(**settings):
    arguments = {"kind": "logit", "target_class": None, "contrast_class": None, **settings}
    target = ModelTarget(Labelled("a", "b", "c"), **arguments)
    choices = target.choose(OUTPUTS, [{}, {}], [None, None])
    return target.scores(OUTPUTS, target.terms(choices, CPU)).tolist(), [c.description for (c,) in choices]


def test_hand_computed_scores():
    values, described = scores()
    assert values == [[3.0, 0.0]]
    assert described == [{"label": "b", "kind": "logit"}, {"label": "a", "kind": "logit"}]
    assert scores(target_class="c")[0] == [[2.0, -2.0]]
    assert scores(target_class=0)[0] == [[1.0, 0.0]]
    values, described = scores(target_class="c", contrast_class="a")
    assert values == [[1.0, -2.0]]
    assert described[0] == {"label": "c", "kind": "logit", "contrast": "a"}
    values, _ = scores(kind="log-probability")
    # log(e^3 / (e + e^3 + e^2)), log(1 / (1 + e^-1 + e^-2))
    assert values[0] == pytest.approx([-0.407606, -0.407606], abs=1e-5)


def test_scores_of_several_positions_targets_and_copies():
    target = ModelTarget(Labelled("a", "b"), "logit", None, None)
    # Two instances with two and one explained scores, of three positions and two classes.
    logits = torch.arange(12.0).reshape(2, 3, 2)
    target.logits = lambda outputs: outputs
    choices = [[Choice([0, 2], [1, 0], {}), Choice([1], [1], {})], [Choice([2], [1], {})]]
    assert target.scores(logits, target.terms(choices, CPU)).tolist() == [
        [1.0 + 4.0, 11.0],
        [3.0, 0.0],
    ]
    copies = torch.cat([logits, logits + 100])
    assert target.scores(copies, target.terms(choices, CPU)).tolist() == [
        [5.0, 11.0, 205.0, 111.0],
        [3.0, 0.0, 103.0, 0.0],
    ]
    assert target.scores(logits, target.terms([[], []], CPU)).shape == (0, 2)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kind": "loss"}, "target must be one of"),
        (
            {"target_class": "d"},
            r"target_class: no class 'd'; the model's are 'a' \(0\), 'b' \(1\)",
        ),
        ({"contrast_class": 3}, "contrast_class: no class 3"),
        ({"target_class": True}, "no class True"),
    ],
)
def test_what_does_not_exist_is_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        scores(**settings)


def test_a_model_without_logits_is_refused():
    target = ModelTarget(Labelled("a"), "logit", None, None)
    with pytest.raises(ConfigurationError, match="`logits` .*; this model's has loss, probs"):
        target.logits({"probs": torch.ones(1, 2), "loss": torch.ones(1)})


@pytest.mark.parametrize(
    "module, what",
    [
        ("allennlp_models.structured_prediction.models.srl_bert", "semantic role labelling"),
        ("allennlp_models.generation.models.bart", "text generation"),
        ("allennlp_models.structured_prediction.models.biaffine_dependency_parser", "parsing"),
        (
            "allennlp_models.classification.models.transformer_classification_tt",
            "the transformer toolkit",
        ),
        ("allennlp_models.mc.models.transformer_mc_tt", "multiple choice"),
        ("allennlp_models.vision.models.vilbert_vqa", "images"),
    ],
)
def test_unsupported_families_are_refused_by_name(module, what):
    __import__(module)  # the names are AllenNLP's own
    family = type("Family", (Labelled,), {"__module__": module})
    heir = type("Heir", (family,), {"__module__": "users.own"})
    for model in (family("a"), heir("a")):
        with pytest.raises(ConfigurationError, match=f"is not supported .*{what}.*classifiers, tag"):
            target_type(model)


TAGGED = {
    "bioul": ["O", "B-PER", "I-PER", "L-PER", "U-LOC", "U-LOC", "O", "B-LOC", "L-LOC", "U-PER"],
    "bio": ["B-PER", "I-PER", "B-PER", "O", "B-LOC", "I-LOC", "I-LOC", "B-PER", "O"],
    "iob1": ["I-PER", "I-PER", "B-PER", "O", "I-LOC", "I-PER", "O", "I-LOC"],
    "bmes": ["B-PER", "M-PER", "E-PER", "S-LOC", "S-LOC", "B-LOC", "E-LOC"],
}


@pytest.mark.parametrize("encoding", TAGGED)
def test_spans_are_those_that_allennlp_reads(encoding):
    tags = TAGGED[encoding]
    wanted = getattr(span_utils, f"{encoding}_tags_to_spans")(tags)
    found = tagged_spans(tags, outside=True)
    assert sorted((label, (start, end)) for label, start, end in found) == sorted(wanted)


def test_spans_of_other_tags():
    io = ["I-PER", "I-PER", "I-LOC", "O", "PER", "PER", "LOC"]
    assert tagged_spans(io, True) == [
        ("PER", 0, 1),
        ("LOC", 2, 2),
        ("PER", 4, 5),
        ("LOC", 6, 6),
    ]
    assert tagged_spans(["NN", "NN", "VB"], False) == [("NN", 0, 0), ("NN", 1, 1), ("VB", 2, 2)]
    assert tagged_spans(["O", "O"], True) == []
    # An L or an E without a beginning is a span, rather than an error.
    assert tagged_spans(["L-PER", "I-PER", "O"], True) == [("PER", 0, 0), ("PER", 1, 1)]


def explain(build, folder, index=0, **settings):
    predictor, lines = build(folder)
    interpreter = SaliencyInterpreter.from_params(
        Params({"type": "layer-saliency", "layer": 1, **settings}), predictor=predictor
    )
    return predictor, lines[index], interpreter.saliency_interpret_from_json(lines[index])


def test_a_tagger_explains_its_spans(tmp_path):
    build = rows.tagger(rows.BIOUL, 3, type="crf_tagger", label_encoding="BIOUL")
    predictor, line, result = explain(build, tmp_path, 1)
    output = predictor.predict_json(line)
    spans = span_utils.bioul_tags_to_spans(output["tags"])
    assert spans and len(result) == len(spans)
    index = predictor._model.vocab.get_token_index
    for label, (start, end) in spans:
        (target,) = [
            instance["target"] for instance in result.values() if instance["target"]["span"] == [start, end]
        ]
        assert target["label"] == label
        wanted = sum(output["logits"][i][index(output["tags"][i], "labels")] for i in range(start, end + 1))
        assert target["score"] == pytest.approx(wanted, rel=1e-4)


def test_a_tagger_without_a_predicted_span(tmp_path):
    build = rows.tagger(["O", "I-PER", "I-LOC"], 5, type="simple_tagger")
    predictor, lines = build(tmp_path)
    with torch.no_grad():
        predictor._model.tag_projection_layer._module.bias[:] = torch.tensor([99.0, 0.0, 0.0])
    interpreter = SaliencyInterpreter.from_params(Params({"type": "layer-saliency"}), predictor=predictor)
    assert interpreter.saliency_interpret_batch_json(lines[:3]) == [{}, {}, {}]


def test_a_tagger_or_reader_has_no_class_to_choose(tmp_path):
    with pytest.raises(ConfigurationError, match="target_class is for classifiers and language models"):
        explain(rows.question_answering, tmp_path, target_class="start")


def test_an_answer_has_a_start_and_an_end(tmp_path):
    predictor, line, result = explain(rows.question_answering, tmp_path, 1)
    # The context is read in several windows; the best answer's is explained.
    assert len(predictor._json_to_instances(line)) > 1
    output = predictor.predict_json(line)
    start, end = result["instance_1"]["target"], result["instance_2"]["target"]
    assert (start["label"], end["label"]) == ("start", "end")
    assert start["answer"] == end["answer"] == output["best_span_str"]
    assert start["score"] + end["score"] == pytest.approx(output["best_span_scores"], rel=1e-4)
    assert start["position"] <= end["position"]
    assert start["score"] == pytest.approx(output["span_start_logits"][start["position"]], rel=1e-4)


def test_each_mask_is_explained(tmp_path):
    predictor, line, result = explain(rows.masked_words, tmp_path, 1, target="log-probability")
    output = predictor.predict_json(line)
    assert len(result) == 2
    for number, instance in enumerate(result.values()):
        target = instance["target"]
        assert instance["tokens_1"][target["position"]] == "[MASK]"
        assert target["label"] == output["words"][number][0]
        wanted = torch.tensor(output["probabilities"][number][0]).log().item()
        assert target["score"] == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_the_next_word_is_explained(tmp_path):
    predictor, line, result = explain(rows.next_word, tmp_path, target="log-probability")
    output = predictor.predict_json(line)
    target = result["instance_1"]["target"]
    assert target["label"] == output["top_tokens"][0][0]
    wanted = torch.tensor(output["probabilities"][0]).log().item()
    assert target["score"] == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_a_word_can_be_named(tmp_path):
    _, _, result = explain(rows.masked_words, tmp_path, target_class="good", contrast_class="bad")
    assert result["instance_1"]["target"]["label"] == "good"
    assert result["instance_1"]["target"]["contrast"] == "bad"
    with pytest.raises(ConfigurationError, match="no class 'nothing'; .* and .* more"):
        explain(rows.masked_words, tmp_path / "again", target_class="nothing")


def test_metrics_in_dicts_and_lists_are_as_before(tmp_path):
    """A tagger keeps its accuracies in a dict."""
    predictor, lines = rows.tagger(["O", "I-PER"], 5, type="simple_tagger")(tmp_path)
    model = predictor._model
    held = list(model.metrics.values())
    before = [copy.deepcopy(vars(metric)) for metric in held]
    assert held
    with metrics_preserved(model):
        for metric in held:
            metric(torch.rand(1, 2, 2), torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2).bool())
        assert [vars(metric) for metric in held] != before
    assert [vars(metric) for metric in held] == before
    assert all(a is b for a, b in zip(held, model.metrics.values()))


def test_positions_are_decoded_once_for_all_spans(tmp_path):
    predictor, lines = rows.tagger(["LOC", "PER"], 5, type="simple_tagger")(tmp_path)
    interpreter = SaliencyInterpreter.from_params(
        Params({"type": "decoded-layer-saliency", "lm_head": {"type": "tied-embeddings"}}),
        predictor=predictor,
    )
    decoder, positions = interpreter._decoder, []

    def counted(hidden_states):
        positions.append(len(hidden_states))
        return decoder.logits(hidden_states)

    interpreter._decoder = replace(decoder, logits=counted)
    (out,) = interpreter.saliency_interpret_batch_json([lines[0]])
    assert len(out) > 1
    assert sum(positions) == len(out["instance_1"]["pieces_1"])


def test_a_tokenizer_is_asked_for_its_size_once_a_batch(tmp_path, monkeypatch):
    predictor, lines = rows.tagger(["LOC", "PER"], 5, type="simple_tagger")(tmp_path)
    interpreter = SaliencyInterpreter.from_params(
        Params(
            {
                "type": "decoded-layer-saliency",
                "layer": "all",
                "lm_head": {"type": "tied-embeddings"},
            }
        ),
        predictor=predictor,
    )
    asked, kind = [], type(interpreter.texts.tokenizer)
    own = kind.__len__
    monkeypatch.setattr(kind, "__len__", lambda self: asked.append(1) or own(self))
    interpreter.saliency_interpret_batch_json([lines[0]])
    # Once by us; the indexer may ask for each text.
    assert len(asked) <= 2


def test_hyphens_in_labels():
    assert tagged_spans(["B-T-shirt", "I-T-shirt", "O"], True) == [("T-shirt", 0, 1)]
    assert tagged_spans(["T-shirt", "T-shirt", "O"], True) == [("T-shirt", 0, 1)]
