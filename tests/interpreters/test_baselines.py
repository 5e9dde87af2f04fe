import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from allennlp_layer_saliency.interpreters.baselines import rollout
from tests.conftest import SENTENCES, build_predictor, model_config, reader_config

LINES = [{"sentence": sentence} for sentence in SENTENCES]


def make(predictor, type, **settings):
    return SaliencyInterpreter.from_params(Params({"type": type, **settings}), predictor=predictor)


def scores(interpreter, line):
    return interpreter.saliency_interpret_from_json(line)["instance_1"]["grad_input_1"]


def test_random_depends_on_seed_and_text(predictor):
    first = [scores(make(predictor, "random"), line) for line in LINES]
    assert first == [scores(make(predictor, "random", seed=0), line) for line in LINES]
    assert first != [scores(make(predictor, "random", seed=1), line) for line in LINES]
    for of_line in first:
        assert sum(of_line) == pytest.approx(1)
        assert len(set(of_line)) == len(of_line)


def test_rollout_by_hand():
    attention = torch.tensor([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.5, 0.5]]])
    # (A + I) / 2 of the blocks: [[.75, .25], [0, 1]], then [[.5, .5], [.25, .75]].
    expected = torch.tensor([[0.375, 0.625], [0.1875, 0.8125]])
    assert torch.allclose(rollout(attention), expected)


def test_attention_rollout(predictor):
    """Against the transformer's own attentions, multiplied in the other order of reading."""
    interpreter = make(predictor, "attention-rollout")
    transformer = predictor._model._text_field_embedder.token_embedder_tokens.transformer_model
    tokenizer = predictor._dataset_reader._tokenizer.tokenizer
    kind = getattr(transformer.config, "_attn_implementation", "eager")
    if kind != "eager":
        transformer.set_attn_implementation("eager")
    wanted = []
    for sentence in SENTENCES[:3]:
        ids = torch.tensor([tokenizer(sentence)["input_ids"]])
        with torch.no_grad():
            attentions = transformer(ids, output_attentions=True).attentions
        # What the first position holds, handed down block by block.
        share = torch.zeros(ids.size(1))
        share[0] = 1
        for of_block in reversed(attentions):
            share = 0.5 * share + 0.5 * share @ of_block[0].mean(0)
        wanted.append(share.tolist())
    if kind != "eager":
        transformer.set_attn_implementation(kind)
    for sentence, expected in zip(SENTENCES[:3], wanted):
        assert scores(interpreter, {"sentence": sentence}) == pytest.approx(expected, abs=1e-6)
    assert "forward" not in vars(transformer)
    assert getattr(transformer.config, "_attn_implementation", "eager") == kind


def test_attention_rollout_of_words(bert_folder):
    reader = reader_config(bert_folder)
    reader["tokenizer"] = {"type": "just_spaces"}
    reader["token_indexers"]["tokens"]["type"] = "pretrained_transformer_mismatched"
    model = model_config(bert_folder)
    model["text_field_embedder"]["token_embedders"]["tokens"]["type"] = "pretrained_transformer_mismatched"
    predictor = build_predictor(bert_folder, reader, model)
    found = scores(make(predictor, "attention-rollout"), {"sentence": "good films good"})
    assert len(found) == 3 and sum(found) == pytest.approx(1) and min(found) > 0


def test_attention_rollout_is_for_one_piece(bert_folder):
    reader, model = reader_config(bert_folder), model_config(bert_folder)
    reader["token_indexers"]["tokens"]["max_length"] = 8
    model["text_field_embedder"]["token_embedders"]["tokens"]["max_length"] = 8
    predictor = build_predictor(bert_folder, reader, model)
    with pytest.raises(ConfigurationError, match="reads in one piece"):
        scores(make(predictor, "attention-rollout"), LINES[1])
