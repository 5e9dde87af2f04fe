"""Texts longer than the embedder's max_length, which it folds into segments."""

import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from tests import reference
from tests.conftest import SENTENCES, build_predictor, model_config, reader_config

LONG = " ".join(SENTENCES[1:4])
LENGTH = 8  # of a segment, its own <s> and </s> included


def folding_predictor(folder, pooler="boe"):
    reader, model = reader_config(folder), model_config(folder)
    reader["token_indexers"]["tokens"]["max_length"] = LENGTH
    model["text_field_embedder"]["token_embedders"]["tokens"]["max_length"] = LENGTH
    if pooler == "boe":
        model["seq2vec_encoder"] = {"type": "boe", "embedding_dim": 16, "averaged": True}
    return build_predictor(folder, reader=reader, model=model)


def by_hand(predictor, text, layer):
    """h_l and D_l with each segment run alone, and the classifier's mean over all kept positions."""
    model = predictor._model
    transformer = model._text_field_embedder.token_embedder_tokens.transformer_model
    tokenizer = predictor._dataset_reader._tokenizer.tokenizer
    pieces = tokenizer(text, add_special_tokens=False)["input_ids"]
    segments = [pieces[i : i + LENGTH - 2] for i in range(0, len(pieces), LENGTH - 2)]
    states, last = [], []
    for i, segment in enumerate(segments):
        output = transformer(input_ids=torch.tensor([[0, *segment, 2]]), output_hidden_states=True)
        start = 0 if i == 0 else 1
        stop = LENGTH if i == len(segments) - 1 else len(segment) + 1
        states.append((output.hidden_states[layer], start, stop))
        last.append(output.last_hidden_state[0, start:stop])
    logits = model._classification_layer(torch.cat(last).mean(0))
    gradients = torch.autograd.grad(logits.max(), [state for state, _, _ in states])
    hidden = torch.cat([state[0, a:b] for state, a, b in states]).detach()
    gradient = torch.cat([g[0, a:b] for g, (_, a, b) in zip(gradients, states)])
    return hidden, gradient, [0, *pieces, 2]


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_folded_texts_equal_their_segments_run_by_hand(roberta_folder, layer, batched):
    predictor = folding_predictor(roberta_folder)
    language_model = reference.masked_lm(roberta_folder)
    texts = [LONG, SENTENCES[0], "good", LONG + " " + LONG] if batched else [LONG]
    settings = {"layer": layer, "aggregation": "gradient-x-input", "special_tokens": "keep"}
    for name in ("layer-saliency", "decoded-layer-saliency"):
        interpreter = SaliencyInterpreter.from_params(Params({"type": name, **settings}), predictor=predictor)
        results = interpreter.saliency_interpret_batch_json([{"sentence": t} for t in texts])
        for text, result in zip(texts, results):
            hidden, gradient, ids = by_hand(predictor, text, layer)
            wanted = reference.weights("gradient-x-input", hidden, gradient)
            if name == "decoded-layer-saliency":
                decoded = reference.probabilities(language_model, hidden)
                a = reference.rows_of_a(decoded, ids, set(), None, "input", "keep")
                wanted = reference.decoded_layer_scores(wanted, a, ids, set(), "keep")
            instance = result["instance_1"]
            assert len(instance["tokens_1"]) == len(ids)
            assert instance["signed_1"] == pytest.approx(wanted, rel=1e-3, abs=1e-5)


def test_pooled_on_the_first_position_only_the_first_segment_counts(roberta_folder):
    predictor = folding_predictor(roberta_folder, pooler="cls")
    interpreter = SaliencyInterpreter.from_params(
        Params({"type": "layer-saliency", "layer": 1}), predictor=predictor
    )
    scores = interpreter.saliency_interpret_from_json({"sentence": LONG})["instance_1"]["signed_1"]
    assert all(scores[: LENGTH - 1])
    assert not any(scores[LENGTH - 1 :])


def test_an_indexer_that_folds_without_the_embedder_is_refused(roberta_folder):
    reader = reader_config(roberta_folder)
    reader["token_indexers"]["tokens"]["max_length"] = LENGTH
    interpreter = SaliencyInterpreter.from_params(
        Params({"type": "layer-saliency"}), predictor=build_predictor(roberta_folder, reader=reader)
    )
    with pytest.raises(ConfigurationError, match="the embedder has no max_length"):
        interpreter.saliency_interpret_from_json({"sentence": LONG})
