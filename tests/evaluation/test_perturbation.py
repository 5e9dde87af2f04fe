"""Predictions without some tokens, beside the model run by hand on other ids."""

import numpy
import pytest
import torch
import transformers
from allennlp.common.checks import ConfigurationError
from tokenizers import processors

from allennlp_layer_saliency.evaluation.perturbation import PerturbedPredictions
from allennlp_layer_saliency.interpreters import AttentionRollout
from allennlp_layer_saliency.models.text_reader import TextReader
from tests.conformance import rows
from tests.conftest import SENTENCES, build_predictor, model_config, reader_config
from tests.models.test_decoder_classifiers import llama_tokenizer, save_classifier


def perturbed(predictor, kind="mask"):
    return PerturbedPredictions(TextReader(predictor), kind)


def by_hand(predictor, ids):
    model = predictor._model
    ids = torch.tensor([ids])
    tokens = {
        "token_ids": ids,
        "mask": torch.ones_like(ids, dtype=torch.bool),
        "type_ids": torch.zeros_like(ids),
    }
    with torch.no_grad():
        return torch.log_softmax(model({"tokens": tokens})["logits"][0].double(), 0).numpy()


SETS = [frozenset(), frozenset({1}), frozenset({2, 4}), frozenset({1, 2, 3, 4})]


@pytest.mark.parametrize("kind", ["mask", "remove"])
@pytest.mark.parametrize("max_pieces", [8, 2048])
def test_against_ids_by_hand(predictor, kind, max_pieces):
    texts = perturbed(predictor, kind)
    texts._texts.budget.pieces = max_pieces
    tokenizer = predictor._dataset_reader._tokenizer.tokenizer
    sentence = "good actors , bad film"
    tokens = texts.tokens(predictor._json_to_instance({"sentence": sentence}))
    ids = tokenizer(sentence)["input_ids"]
    assert tokens.tokens == list(range(1, len(ids) - 1))
    found = texts.log_probabilities(tokens, [*SETS, SETS[1]])
    assert set(found) == set(SETS)
    for taken, log_probabilities in found.items():
        if kind == "mask":
            left = [tokenizer.mask_token_id if i in taken else t for i, t in enumerate(ids)]
        else:
            left = [t for i, t in enumerate(ids) if i not in taken]
        assert log_probabilities == pytest.approx(by_hand(predictor, left), abs=1e-6)
        assert numpy.exp(log_probabilities).sum() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["mask", "remove"])
def test_everything_may_be_taken_out(predictor, kind):
    texts = perturbed(predictor, kind)
    tokens = texts.tokens(predictor._json_to_instance({"sentence": SENTENCES[0]}))
    everything = frozenset(tokens.tokens)
    assert numpy.isfinite(texts.log_probabilities(tokens, [everything])[everything]).all()


def folded(bert_folder, max_length):
    reader, model = reader_config(bert_folder), model_config(bert_folder)
    reader["token_indexers"]["tokens"]["max_length"] = max_length
    model["text_field_embedder"]["token_embedders"]["tokens"]["max_length"] = max_length
    return build_predictor(bert_folder, reader, model)


def test_folded_texts(bert_folder):
    """A masked word of a long text is masked in its segment: as if the text had been read so."""
    predictor = folded(bert_folder, 6)
    texts = perturbed(predictor)
    # Each word is a piece of the vocabulary, and so is the mask token.
    words = "good film bad actors and no charm".split()
    tokens = texts.tokens(predictor._json_to_instance({"sentence": " ".join(words)}))
    assert tokens.tokens == list(range(1, 8))
    taken = frozenset({2, 5, 7})
    found = texts.log_probabilities(tokens, [taken])[taken]
    masked = " ".join("[MASK]" if i in taken else w for i, w in enumerate(words, start=1))
    again = texts.tokens(predictor._json_to_instance({"sentence": masked}))
    expected = texts.log_probabilities(again, [frozenset()])[frozenset()]
    assert found == pytest.approx(expected, abs=1e-6)
    # Removing moves the others into other segments, as a shorter text.
    remover = perturbed(predictor, "remove")
    found = remover.log_probabilities(tokens, [taken])[taken]
    shorter = " ".join(w for i, w in enumerate(words, start=1) if i not in taken)
    again = texts.tokens(predictor._json_to_instance({"sentence": shorter}))
    expected = texts.log_probabilities(again, [frozenset()])[frozenset()]
    assert found == pytest.approx(expected, abs=1e-6)


def words_predictor(bert_folder):
    reader, model = reader_config(bert_folder), model_config(bert_folder)
    reader["tokenizer"] = {"type": "just_spaces"}
    reader["token_indexers"]["tokens"]["type"] = "pretrained_transformer_mismatched"
    embedder = model["text_field_embedder"]["token_embedders"]["tokens"]
    embedder["type"] = "pretrained_transformer_mismatched"
    return build_predictor(bert_folder, reader, model)


def test_words(bert_folder):
    """All pieces of a word are masked; a word without a piece can't be."""
    predictor = words_predictor(bert_folder)
    texts = perturbed(predictor)
    tokens = texts.tokens(predictor._json_to_instance({"sentence": "good films bad"}))
    assert tokens.tokens == [0, 1, 2]
    assert [len(tokens.pieces[i]) for i in range(3)] == [1, 2, 1]
    taken = frozenset({1})
    found = texts.log_probabilities(tokens, [taken])[taken]
    assert numpy.isfinite(found).all()
    whole = texts.log_probabilities(tokens, [frozenset()])[frozenset()]
    assert found != pytest.approx(whole, abs=1e-4)
    with pytest.raises(ConfigurationError, match="this one reads words"):
        perturbed(predictor, "remove").tokens(predictor._json_to_instance({"sentence": "good films bad"}))


def test_the_model_stays_as_it_was(predictor):
    texts = perturbed(predictor)
    predictor._model.train()
    tokens = texts.tokens(predictor._json_to_instance({"sentence": SENTENCES[0]}))
    numbers = torch.get_rng_state()
    first = texts.log_probabilities(tokens, SETS)
    assert predictor._model.training and torch.equal(torch.get_rng_state(), numbers)
    again = texts.log_probabilities(tokens, SETS)
    for taken in SETS:
        assert (first[taken] == again[taken]).all()
    predictor._model.eval()


def test_mistakes(predictor):
    with pytest.raises(ConfigurationError, match="perturbation must be one of"):
        perturbed(predictor, "delete")
    reader = TextReader(predictor)
    tokenizer = reader.tokenizer
    tokenizer.mask_token = tokenizer.unk_token = tokenizer.pad_token = tokenizer.eos_token = None
    try:
        with pytest.raises(ConfigurationError, match="has no mask token, and no unknown"):
            PerturbedPredictions(reader)
    finally:
        reader.tokenizer.mask_token = "<mask>"


def test_two_texts_are_refused(tmp_path):
    predictor, lines = rows.two_fields(False)(tmp_path)
    instance = predictor._json_to_instance(lines[0])
    texts = PerturbedPredictions(TextReader(predictor))
    with pytest.raises(ConfigurationError, match="inputs of one text can be compared; this one has 2"):
        texts.tokens(instance)
    with pytest.raises(ConfigurationError, match="attention-rollout is for one text"):
        AttentionRollout(predictor).saliency_interpret_from_json(lines[0])


@pytest.mark.parametrize("kind", ["mask", "remove"])
def test_a_decoder_without_special_tokens(tmp_path, kind):
    """As GPT-2 is published: what is left of a text of which all is taken away is the end token."""
    tokenizer = llama_tokenizer(unk_token=None)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A", pair="$A $B:1", special_tokens=[]
    )
    predictor = save_classifier(tmp_path / "c", "GPT2", tokenizer, pad_token_id=None)
    texts = PerturbedPredictions(TextReader(predictor), kind)
    tokens = texts.tokens(predictor._dataset_reader.text_to_instance("a good film"))
    everything, first = frozenset(tokens.tokens), frozenset(tokens.tokens[:1])
    found = texts.log_probabilities(tokens, [first, everything])
    ids = tokenizer("a good film")["input_ids"]
    end = tokenizer.eos_token_id
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "c").eval()
    for taken, left in (
        (first, [end, *ids[1:]] if kind == "mask" else ids[1:]),
        (everything, [end] * len(ids) if kind == "mask" else [end]),
    ):
        with torch.no_grad():
            wanted = model(torch.tensor([left])).logits[0].log_softmax(-1).tolist()
        assert found[taken].tolist() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("unknown", [None, "<unk>"])
def test_what_pads_is_not_put_in_the_middle_of_a_text(tmp_path, unknown):
    """Decoders look for the last position by the padding token, which often is the end token."""
    tokenizer = llama_tokenizer(unk_token=unknown, pad_token="</s>")
    predictor = save_classifier(tmp_path / "c", "GPT2", tokenizer, pad_token_id=2)
    reader = TextReader(predictor)
    if unknown is None:
        with pytest.raises(ConfigurationError, match='other than the one that pads.*use "remove"'):
            PerturbedPredictions(reader)
        kind, stand_in = "remove", None
    else:
        kind, stand_in = "mask", tokenizer.unk_token_id
    texts = PerturbedPredictions(reader, kind)
    tokens = texts.tokens(predictor._dataset_reader.text_to_instance("a good film , not bad"))
    ids = tokenizer("a good film , not bad")["input_ids"]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "c").eval()
    sets = [frozenset([token]) for token in tokens.tokens]
    found = texts.log_probabilities(tokens, sets)
    for taken in sets:
        left = [stand_in if i in taken else id_ for i, id_ in enumerate(ids)]
        left = [id_ for id_ in left if id_ is not None]
        with torch.no_grad():
            states = model.transformer(torch.tensor([left])).last_hidden_state[0, -1]
            wanted = model.score(states).log_softmax(-1).tolist()
        assert found[taken].tolist() == pytest.approx(wanted, abs=1e-5)
