"""Predictions without some tokens, beside the model run by hand on other ids."""

import numpy
import pytest
import torch
import transformers
from allennlp.common.checks import ConfigurationError
from tokenizers import processors

from allennlp_layer_saliency.interpreters import AttentionRollout
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions
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


def log_probabilities(texts, tokens, sets):
    """Of the one class that is explained."""
    (found,) = texts.predictions(tokens, sets).predictions
    return {taken: prediction.log_probability for taken, prediction in found.items()}


def explained_as(texts, tokens, other):
    """The log-probability, given another text, of what is predicted for the first."""
    (choice,) = texts.predictions(tokens, []).choices
    tensors = texts._texts.batch([other.instance]).tensors
    _, log_probabilities, _ = next(texts._masked(other, tensors, [frozenset()], [choice]))
    return log_probabilities.item()


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
    (choice,), (found,) = texts.predictions(tokens, [*SETS, SETS[1]])
    assert set(found) == set(SETS)
    assert choice.classes == [by_hand(predictor, ids).argmax()]
    for taken, prediction in found.items():
        if kind == "mask":
            left = [tokenizer.mask_token_id if i in taken else t for i, t in enumerate(ids)]
        else:
            left = [t for i, t in enumerate(ids) if i not in taken]
        wanted = by_hand(predictor, left)
        assert prediction.log_probability == pytest.approx(wanted[choice.classes[0]], abs=1e-6)
        assert prediction.label == wanted.argmax()


@pytest.mark.parametrize("kind", ["mask", "remove"])
def test_everything_may_be_taken_out(predictor, kind):
    texts = perturbed(predictor, kind)
    tokens = texts.tokens(predictor._json_to_instance({"sentence": SENTENCES[0]}))
    everything = frozenset(tokens.tokens)
    assert numpy.isfinite(log_probabilities(texts, tokens, [everything])[everything])


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
    found = log_probabilities(texts, tokens, [taken])[taken]
    masked = " ".join("[MASK]" if i in taken else w for i, w in enumerate(words, start=1))
    again = texts.tokens(predictor._json_to_instance({"sentence": masked}))
    expected = explained_as(texts, tokens, again)
    assert found == pytest.approx(expected, abs=1e-6)
    # Removing moves the others into other segments, as a shorter text.
    remover = perturbed(predictor, "remove")
    found = log_probabilities(remover, tokens, [taken])[taken]
    shorter = " ".join(w for i, w in enumerate(words, start=1) if i not in taken)
    again = texts.tokens(predictor._json_to_instance({"sentence": shorter}))
    expected = explained_as(texts, tokens, again)
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
    assert [len(tokens.places[i][1]) for i in range(3)] == [1, 2, 1]
    taken = frozenset({1})
    found = log_probabilities(texts, tokens, [taken])[taken]
    assert numpy.isfinite(found)
    whole = log_probabilities(texts, tokens, [frozenset()])[frozenset()]
    assert found != pytest.approx(whole, abs=1e-4)
    with pytest.raises(ConfigurationError, match="this one reads words"):
        perturbed(predictor, "remove")


def test_the_model_stays_as_it_was(predictor):
    texts = perturbed(predictor)
    predictor._model.train()
    tokens = texts.tokens(predictor._json_to_instance({"sentence": SENTENCES[0]}))
    numbers = torch.get_rng_state()
    first = log_probabilities(texts, tokens, SETS)
    assert predictor._model.training and torch.equal(torch.get_rng_state(), numbers)
    again = log_probabilities(texts, tokens, SETS)
    for taken in SETS:
        assert first[taken] == again[taken]
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


@pytest.mark.parametrize("kind", ["mask", "remove"])
@pytest.mark.parametrize("max_pieces", [8, 2048])
def test_pairs_in_two_fields(tmp_path, kind, max_pieces):
    """Tokens of either text, beside the model run on ids by hand."""
    predictor, lines = rows.two_fields(False)(tmp_path)
    texts = perturbed(predictor, kind)
    texts._texts.budget.pieces = max_pieces
    tokenizer = texts._texts.tokenizer
    ids = tokenizer([lines[0][name] for name in ("premise", "hypothesis")])["input_ids"]
    first = len(ids[0])
    tokens = texts.tokens(predictor._json_to_instance(lines[0]))
    assert tokens.tokens == [*range(1, first - 1), *range(first + 1, first + len(ids[1]) - 1)]

    def run(taken):
        left = []
        for start, text in ((0, ids[0]), (first, ids[1])):
            out = [i + start in taken for i in range(len(text))]
            kept = [tokenizer.mask_token_id if o else t for o, t in zip(out, text)]
            left.append(kept if kind == "mask" else [t for o, t in zip(out, text) if not o])
        given = {
            name: {
                "tokens": {
                    "token_ids": torch.tensor([text]),
                    "mask": torch.ones(1, len(text), dtype=torch.bool),
                    "type_ids": torch.zeros(1, len(text), dtype=torch.long),
                }
            }
            for name, text in zip(("premise", "hypothesis"), left)
        }
        with torch.no_grad():
            return torch.log_softmax(predictor._model(**given)["label_logits"][0].double(), 0)

    sets = [frozenset(), frozenset({1, first + 1}), frozenset(tokens.tokens)]
    found = log_probabilities(texts, tokens, sets)
    for taken in sets:
        assert found[taken] == pytest.approx(run(taken)[run(frozenset()).argmax()].item(), abs=1e-6)
    with pytest.raises(ConfigurationError, match="attention-rollout is for one text"):
        AttentionRollout(predictor).saliency_interpret_from_json(lines[0])


def given(tensors, taken, mask_id):
    """A batch of one with some positions of its text's ids masked."""
    ids = tensors["tokens"]["tokens"]["token_ids"].clone()
    ids[0, sorted(taken)] = mask_id
    return {**tensors, "tokens": {"tokens": {**tensors["tokens"]["tokens"], "token_ids": ids}}}


def test_a_taggers_spans(tmp_path):
    """The product of the probabilities of a span's tags, whatever is predicted of the masked text."""
    predictor, lines = rows.tagger(["O", "I-PER", "I-LOC"], 5, type="simple_tagger")(tmp_path)
    texts = perturbed(predictor)
    spans = 0
    for line in lines:
        tokens = texts.tokens(predictor._json_to_instance(line))
        sets = [frozenset(), frozenset(tokens.tokens[:2])]
        choices, found = texts.predictions(tokens, sets)
        spans += len(choices)
        for taken in sets:
            tensors = texts._texts.batch([tokens.instance]).tensors
            places = [place for token in taken for place in tokens.places[token][1]]
            with torch.no_grad():
                output = predictor._model(**given(tensors, places, texts._mask_id))
            of_tags = torch.log_softmax(output["logits"][0].double(), -1)
            for choice, predictions in zip(choices, found):
                start, end = choice.description["span"]
                assert choice.positions == list(range(start, end + 1))
                wanted = sum(of_tags[i, c].item() for i, c in zip(choice.positions, choice.classes))
                assert predictions[taken].log_probability == pytest.approx(wanted, abs=1e-5)
                assert predictions[taken].label is None
    assert spans > len(lines)
    with pytest.raises(ConfigurationError, match="of its tokens, which move when others are removed"):
        perturbed(predictor, "remove")


def test_an_answers_start_and_end(tmp_path):
    predictor, lines = rows.question_answering(tmp_path)
    texts = perturbed(predictor)
    (instance,) = predictor._json_to_instances(lines[0])
    tokens = texts.tokens(instance)
    taken = frozenset(tokens.tokens[1:3])
    choices, found = texts.predictions(tokens, [frozenset(), taken])
    assert [choice.description["label"] for choice in choices] == ["start", "end"]
    tensors = texts._texts.batch([tokens.instance]).tensors
    (name,) = (name for name, value in tensors.items() if isinstance(value, dict))
    ids = tensors[name]["tokens"]["token_ids"].clone()
    ids[0, sorted(taken)] = texts._mask_id
    masked = {**tensors, name: {"tokens": {**tensors[name]["tokens"], "token_ids": ids}}}
    with torch.no_grad():
        whole, perturbed_outputs = predictor._model(**tensors), predictor._model(**masked)
    for choice, predictions, which in zip(choices, found, ("start", "end")):
        (place,) = choice.classes
        for outputs, set_ in ((whole, frozenset()), (perturbed_outputs, taken)):
            of_tokens = torch.log_softmax(outputs[f"span_{which}_logits"][0].double(), -1)
            wanted = of_tokens[place].item()
            assert predictions[set_].log_probability == pytest.approx(wanted, abs=1e-5)


def test_a_language_models_words(tmp_path):
    """A distribution over the vocabulary at each mask, which itself is never taken out."""
    predictor, lines = rows.masked_words(tmp_path)
    texts = perturbed(predictor)
    tokens = texts.tokens(predictor._json_to_instance(lines[1]))
    model = predictor._model
    tensors = texts._texts.batch([tokens.instance]).tensors
    masks = tensors["mask_positions"][0].flatten().tolist()
    assert len(masks) == 2 and not set(masks) & set(tokens.tokens)
    taken = frozenset(tokens.tokens[:1])
    choices, found = texts.predictions(tokens, [frozenset(), taken])
    for set_ in (frozenset(), taken):
        with torch.no_grad():
            states = model._text_field_embedder(given(tensors, set_, texts._mask_id)["tokens"])
            of_words = torch.log_softmax(model._language_model_head(states[0, masks]).double(), -1)
        for number, (choice, predictions) in enumerate(zip(choices, found)):
            wanted = of_words[number, choice.classes[0]].item()
            assert predictions[set_].log_probability == pytest.approx(wanted, abs=1e-4)


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
    found = log_probabilities(texts, tokens, [first, everything])
    ids = tokenizer("a good film")["input_ids"]
    end = tokenizer.eos_token_id
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "c").eval()
    with torch.no_grad():
        predicted = model(torch.tensor([ids])).logits[0].argmax()
    for taken, left in (
        (first, [end, *ids[1:]] if kind == "mask" else ids[1:]),
        (everything, [end] * len(ids) if kind == "mask" else [end]),
    ):
        with torch.no_grad():
            wanted = model(torch.tensor([left])).logits[0].log_softmax(-1)[predicted].item()
        assert found[taken] == pytest.approx(wanted, abs=1e-5)


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
    with torch.no_grad():
        predicted = model(torch.tensor([ids])).logits[0].argmax()
    sets = [frozenset([token]) for token in tokens.tokens]
    found = log_probabilities(texts, tokens, sets)
    for taken in sets:
        left = [stand_in if i in taken else id_ for i, id_ in enumerate(ids)]
        left = [id_ for id_ in left if id_ is not None]
        with torch.no_grad():
            states = model.transformer(torch.tensor([left])).last_hidden_state[0, -1]
            wanted = model.score(states).log_softmax(-1)[predicted].item()
        assert found[taken] == pytest.approx(wanted, abs=1e-5)
