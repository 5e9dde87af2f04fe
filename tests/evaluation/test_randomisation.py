import pytest
import torch

from allennlp_layer_saliency.evaluation.randomisation import agreement, randomised, stages
from allennlp_layer_saliency.models.text_reader import TextReader


@pytest.fixture
def parts(predictor):
    texts = TextReader(predictor)
    return predictor._model, texts.transformer, texts.hf_layers


def test_stages_go_from_the_top_down(parts):
    model, transformer, layers = parts
    names = {id(p): name for name, p in model.named_parameters()}
    found = [[names[id(p)] for p in stage] for stage in stages(model, transformer, layers)]
    assert len(found) == 5
    assert any("_classification_layer" in name for name in found[0])
    assert any("pooler" in name for name in found[0])
    for stage, block in zip(found[1:4], (2, 1, 0)):
        assert stage and all(f"encoder.layer.{block}." in name for name in stage)
    assert found[4] and all(".embeddings." in name for name in found[4])
    assert sorted(name for stage in found for name in stage) == sorted(names.values())


def test_parameters_are_shuffled_and_restored(parts):
    model = parts[0]
    before = [p.detach().clone() for p in model.parameters()]
    found = stages(*parts)
    with randomised(found, seed=1) as cascade:
        for number in cascade:
            changed = {id(p) for stage in found[:number] for p in stage}
            for parameter, own in zip(model.parameters(), before):
                same = torch.equal(parameter, own)
                assert same == (id(parameter) not in changed) or own.unique().numel() == 1
                assert torch.equal(parameter.flatten().sort()[0], own.flatten().sort()[0])
    assert all(torch.equal(p, own) for p, own in zip(model.parameters(), before))
    with pytest.raises(KeyError), randomised(found, seed=1) as cascade:
        next(cascade)
        raise KeyError
    assert all(torch.equal(p, own) for p, own in zip(model.parameters(), before))


def test_agreement_by_hand():
    assert agreement([1.0, -2.0, 3.0], [0.1, 0.2, 0.3]) == pytest.approx(1)
    assert agreement([1.0, 2.0, 3.0], [3.0, -2.0, 1.0]) == pytest.approx(-1)
    # Ranks 1 2 3 4 and 2 1 4 3: 1 - 6 * 4 / (4 * 15).
    assert agreement([1, 2, 3, 4], [2, 1, 4, 3]) == pytest.approx(0.6)
    assert agreement([0.0, 0.0], [0.0, 0.0]) == 1.0
    assert agreement([0.0, 0.0], [0.0, 1.0]) == 0.0
    assert agreement([5.0], [2.0]) == 1.0
