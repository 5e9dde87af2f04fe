import math

import numpy
import pytest
import torch
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.core.coherence import MEASURES
from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.evaluation import layers
from allennlp_layer_saliency.interpreters.lm_heads import PretrainedLMHead, TiedEmbeddingsLMHead
from allennlp_layer_saliency.models.text_reader import TextReader
from tests import reference
from tests.conftest import SENTENCES, build_predictor


def measured(predictor, sentences=SENTENCES, head=None, **settings):
    texts = TextReader(predictor)
    head = (head or PretrainedLMHead()).load(texts.transformer, texts.tokenizer)
    prepared = [
        texts.prepare([predictor._json_to_instance({"sentence": sentence})]) for sentence in sentences
    ]
    return layers.measure(texts, {"head": head}, iter(prepared), **settings)["head"]


def by_hand(predictor, lm, sentence, layer, tau):
    """method.md once more: one sentence, loops over positions and vocabulary items."""
    hidden, _, ids, _ = reference.hidden_state_and_gradient(predictor, sentence, layer)
    rows = reference.probabilities(lm, hidden)
    embeddings = predictor._model._text_field_embedder.token_embedder_tokens.transformer_model.embeddings
    table = embeddings.word_embeddings.weight.detach().double().tolist()
    sums = [0.0] * 6
    for n, row in list(enumerate(rows))[1:-1]:
        rank = 1 + sum(p > row[ids[n]] for p in row)
        expected = [sum(p * e[k] for p, e in zip(row, table)) for k in range(len(table[0]))]
        own = table[ids[n]]
        dot = sum(a * b for a, b in zip(own, expected))
        norms = math.sqrt(sum(a * a for a in own)) * math.sqrt(sum(a * a for a in expected))
        values = (
            float(rank <= tau),
            1 / rank,
            sum(row[v] for v in set(ids)),
            dot / norms,
            -sum(p * math.log(p) for p in row),
            1.0,
        )
        sums = [a + b for a, b in zip(sums, values)]
    return sums


def test_against_a_plain_version(predictor, roberta_folder):
    got = measured(predictor, SENTENCES[:4], tau=3)
    assert got.shape == (4, 4, 6)
    lm = reference.masked_lm(roberta_folder)
    for i, sentence in enumerate(SENTENCES[:4]):
        for layer in range(4):
            wanted = by_hand(predictor, lm, sentence, layer, tau=3)
            assert got[i, layer].tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_windows_and_batches_change_nothing(predictor, monkeypatch):
    whole = measured(predictor, tau=3)
    monkeypatch.setattr(layers, "WINDOW", 3)
    done = []
    parts = measured(predictor, tau=3, progress=done.append)
    assert numpy.allclose(parts, whole, rtol=1e-4, atol=1e-5)
    assert sum(done) == len(SENTENCES)
    single = numpy.concatenate([measured(predictor, [s], tau=3) for s in SENTENCES])
    assert numpy.allclose(single, whole, rtol=1e-4, atol=1e-5)


def test_embeddings_recover_themselves_with_tied_embeddings(roberta_folder):
    predictor = build_predictor(roberta_folder)
    embeddings = predictor._model._text_field_embedder.token_embedder_tokens.transformer_model
    embeddings = embeddings.embeddings
    with torch.no_grad():  # so that h_0 is E[t], and all of one length
        embeddings.position_embeddings.weight.zero_()
        embeddings.token_type_embeddings.weight.zero_()
        table = embeddings.word_embeddings.weight
        table -= table.mean(1, keepdim=True)
        table /= table.std(1, keepdim=True)
        embeddings.LayerNorm.weight.fill_(1.0)
        embeddings.LayerNorm.bias.zero_()
    got = measured(predictor, head=TiedEmbeddingsLMHead(), tau=1)
    recovery, reciprocal, *_, count = got[:, 0].sum(0)
    assert recovery == reciprocal == count


def test_sampled_pieces(predictor):
    whole = measured(predictor, tau=3)
    sampled = measured(predictor, tau=3, pieces_per_text=2, seed=1)
    assert sampled[:, :, -1].max() == 2
    assert (sampled[:, :, -1] == numpy.minimum(whole[:, :, -1], 2)).all()
    assert (measured(predictor, tau=3, pieces_per_text=2, seed=1) == sampled).all()
    assert (measured(predictor, tau=3, pieces_per_text=2, seed=2) != sampled).any()
    # What is drawn depends on the text alone.
    alone = measured(predictor, SENTENCES[1:2], tau=3, pieces_per_text=2, seed=1)
    assert numpy.allclose(alone[0], sampled[1], rtol=1e-4, atol=1e-5)


def test_means_and_intervals():
    # Two layers; texts of one and of three pieces: the mean is over pieces.
    sums = numpy.zeros((2, 2, 6))
    sums[:, 0] = [[1, 1, 0.5, 1, 2, 1], [0, 1.5, 1.5, -3, 3, 3]]
    sums[:, 1] = 1.0
    first, second = layers.summary(sums, samples=200)
    assert (first["layer"], second["layer"]) == (0, 1)
    assert [first[name] for name in MEASURES] == [0.25, 0.625, 0.5, -0.5, 1.25]
    # A bootstrap of two texts draws both, or one of them twice.
    assert first["intervals"]["recovery"] == [0.0, 1.0]
    assert second["intervals"]["entropy"] == [1.0, 1.0]
    (alone,) = layers.summary(sums[:1, :1])
    assert alone["intervals"]["recovery"] is None


def test_intervals_cover_the_mean_as_often_as_they_say():
    generator = numpy.random.default_rng(0)
    covered = 0
    for trial in range(100):
        sums = numpy.ones((40, 1, 6))
        sums[:, 0, 0] = generator.random(40)
        (entry,) = layers.summary(sums, seed=trial, samples=200)
        low, high = entry["intervals"]["recovery"]
        covered += low <= 0.5 <= high
    assert 85 <= covered <= 100


def test_a_causal_head_says_nothing_of_texts_of_one_piece(tmp_path):
    from tests.models.test_decoder_classifiers import llama_tokenizer, save_classifier

    tokenizer = llama_tokenizer()
    predictor = save_classifier(tmp_path / "c", "GPT2", tokenizer, pad_token_id=2)
    texts = TextReader(predictor)
    reader = predictor._dataset_reader
    prepared = texts.prepare([reader.text_to_instance("film")])
    pieces = prepared.instances[0]["tokens"].tokens
    embeddings = texts.transformer.get_input_embeddings().weight.detach()
    head = Decoder(
        logits=lambda states: states @ embeddings.t(),
        vocabulary_size=len(embeddings),
        hidden_size=embeddings.size(1),
        causal=True,
    )
    # Without the beginning token nothing precedes its one piece.
    pieces[:] = pieces[-1:]
    prepared = texts.prepare(prepared.instances)
    with pytest.raises(ConfigurationError, match="head speaks of no word piece of these texts"):
        layers.measure(texts, {"head": head}, iter([prepared]), tau=3)
