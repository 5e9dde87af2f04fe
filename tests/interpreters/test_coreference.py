"""Links of mentions to their antecedents, beside AllenNLP's own clusters, scores and interpreters."""

import pytest
import torch

from allennlp_layer_saliency.interpreters import LayerSaliency
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions
from allennlp_layer_saliency.interpreters.targets import target_type
from allennlp_layer_saliency.models.allennlp.coreference import SCORES
from allennlp_layer_saliency.models.text_reader import TextReader
from allennlp_layer_saliency.predictors import SaliencyPredictor
from tests.conformance import rows
from tests.conformance.test_conformance import Looking


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return rows.coreference(tmp_path_factory.mktemp("coref"))


def links(explanation):
    return [instance["target"] for instance in explanation.values()]


def test_links_are_those_of_the_clusters(built):
    predictor, lines = built
    found = 0
    for line in lines:
        explained = links(LayerSaliency(predictor, layer=1).saliency_interpret_from_json(line))
        clusters = predictor.predict_json(line)["clusters"]
        assert sum(len(cluster) - 1 for cluster in clusters) == len(explained)
        words = predictor.predict_json(line)["document"]
        for target in explained:
            span, antecedent = tuple(target["span"]), tuple(target["antecedent"])
            assert any({span, antecedent} <= set(map(tuple, cluster)) for cluster in clusters)
            both = (" ".join(words[start : end + 1]) for start, end in (span, antecedent))
            assert target["label"] == " → ".join(both)
            # More than "no antecedent", which has 0.
            assert target["score"] > 0
        found += len(explained)
    assert found > 3


def prepared(predictor, line):
    texts = TextReader(predictor)
    (instance,) = texts.prepare([predictor._json_to_instance(line)]).instances
    target = target_type(predictor._model)(predictor._model, "logit", None, None)
    return texts, target, instance


def test_the_gradient_by_differences(built):
    """At each layer, of the sum of all links, in a random direction."""
    predictor, lines = built
    model = predictor._model.double()
    try:
        texts, target, instance = prepared(predictor, lines[0])
        tensors = texts.batch([instance]).tensors
        with torch.no_grad():
            outputs = target.forward(tensors)
        (choices,) = target.choose(outputs, [{}], [instance])
        fixed = target.fixed(tensors, outputs)
        places = [(choice.positions[0], choice.classes[0]) for choice in choices]

        def total(states):
            """With the word vectors replaced, as the embeddings' module gives them."""
            handle = texts.hf_layers.taps[0].module.register_forward_hook(lambda *_: states)
            try:
                scores = target.forward(fixed)[SCORES][0]
            finally:
                handle.remove()
            return sum(scores[place] for place in places)

        seen = []
        handle = texts.hf_layers.taps[0].module.register_forward_hook(
            lambda module, inputs, output: seen.append(output.detach())
        )
        target.forward(tensors)
        handle.remove()
        states = seen[0].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(total(states), states)
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(states.shape, generator=generator, dtype=torch.double)
        step = 1e-5
        with torch.no_grad():
            difference = total(states + step * direction) - total(states - step * direction)
        wanted = (difference / (2 * step)).item()
        assert (gradient * direction).sum().item() == pytest.approx(wanted, rel=1e-5)

        interpreter = LayerSaliency(predictor, layer=0)
        interpreter._aggregation = Looking(resumes=False)
        interpreter.saliency_interpret_from_json(lines[0])
        found = sum(interpreter._aggregation.at.gradients)
        assert len(interpreter._aggregation.at.gradients) == len(choices) > 1
        assert torch.allclose(found.double(), gradient, atol=1e-5)
    finally:
        model.float()


def test_masked_words_keep_the_link(built):
    """Its score among the same antecedents, wherever the masked text's own pruning would lead."""
    predictor, lines = built
    texts, target, instance = prepared(predictor, lines[2])
    perturbed = PerturbedPredictions(texts)
    tokens = perturbed.tokens(predictor._json_to_instance(lines[2]))
    sets = [frozenset(), frozenset(tokens.tokens[:3]), frozenset(tokens.tokens)]
    choices, found = perturbed.predictions(tokens, sets)
    assert choices
    tensors = texts.batch([tokens.instance]).tensors
    outputs = target.forward(tensors)
    for taken in sets:
        indexed = dict(tensors["text"]["tokens"])
        ids = indexed["token_ids"].clone()
        ids[0, [place for token in taken for place in tokens.places[token][1]]] = texts.mask_id
        masked = {**target.fixed(tensors, outputs), "text": {"tokens": {**indexed, "token_ids": ids}}}
        with torch.no_grad():
            scores = target.forward(masked)
        assert torch.equal(scores["top_spans"], outputs["top_spans"])
        assert torch.equal(scores["antecedent_indices"], outputs["antecedent_indices"])
        for choice, predictions in zip(choices, found):
            of_link = torch.log_softmax(scores[SCORES][0, choice.positions[0]].double(), -1)
            wanted = of_link[choice.classes[0]].item()
            assert predictions[taken].log_probability == pytest.approx(wanted, abs=1e-5)


def test_beside_allennlps_own(built, monkeypatch):
    """Theirs explain a cluster, ours its links: the same words, each with a score."""
    inner, lines = built
    monkeypatch.setattr("allennlp_layer_saliency.predictors.saliency.inner_predictor", lambda *_: inner)
    for line in lines:
        ours, theirs = (
            SaliencyPredictor(inner._model, inner._dataset_reader, interpreter).predict_json(line)
            for interpreter in ("layer-saliency", "simple-gradient")
        )
        assert ours["clusters"] == theirs["clusters"]
        assert len(theirs["saliency"]) == max(1, len(theirs["clusters"]))
        words = theirs["saliency"]["instance_1"]["tokens_1"]
        for instance in [*ours["saliency"].values(), *theirs["saliency"].values()]:
            assert instance["tokens_1"] == words
            assert sum(instance["grad_input_1"]) == pytest.approx(1) or not any(instance["grad_input_1"])
