"""Aggregations that run the blocks above a layer again."""

import captum.attr
import pytest
import torch
import transformers
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.commands.archive import make_archive
from tests.conformance import rows
from tests.conftest import SENTENCES, reseed_weights

LINES = [{"sentence": sentence} for sentence in SENTENCES]


def make(predictor, aggregation, type="layer-saliency", **settings):
    settings = {**settings, **({} if aggregation is None else {"aggregation": aggregation})}
    params = Params({"type": type, **settings})
    return SaliencyInterpreter.from_params(params, predictor=predictor)


def integrated(**settings):
    return {"type": "integrated-gradients", **settings}


@pytest.mark.parametrize("rule", [("midpoint", "riemann_middle"), ("gauss-legendre",) * 2])
@pytest.mark.parametrize("steps", [2, 5])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_captum_gives_the_same(predictor, layer, steps, rule):
    """Captum runs the whole model for each step; its baseline is the masked input's layer state."""
    ours, theirs = rule
    theirs = {"gauss-legendre": "gausslegendre"}.get(theirs, theirs)
    model = predictor._model
    transformer = model._text_field_embedder.token_embedder_tokens.transformer_model
    out = make(predictor, integrated(steps=steps, rule=ours), layer=layer).saliency_interpret_from_json(
        LINES[1]
    )["instance_1"]

    tokenizer = predictor._dataset_reader._tokenizer.tokenizer
    ids = torch.tensor([tokenizer(SENTENCES[1])["input_ids"]])
    masked = ids.clone()
    masked[:, 1:-1] = tokenizer.mask_token_id
    label = model.vocab.get_token_index(out["target"]["label"], "labels")

    def logits(ids):
        mask = torch.ones_like(ids, dtype=torch.bool)
        tokens = {"tokens": {"token_ids": ids, "mask": mask, "type_ids": torch.zeros_like(ids)}}
        return model(tokens)["logits"]

    method = captum.attr.LayerIntegratedGradients(logits, transformer.encoder.layer[layer - 1])
    attributions, delta = method.attribute(
        ids, masked, target=label, n_steps=steps, method=theirs, return_convergence_delta=True
    )
    attributions = attributions[0] if isinstance(attributions, tuple) else attributions
    wanted = attributions.sum(-1)[0].tolist()
    assert out["signed_1"] == pytest.approx(wanted, abs=1e-5 * max(map(abs, wanted)))
    assert out["completeness_gap"] == pytest.approx(-delta.item(), abs=1e-5)


def test_states_of_masked_inputs_are_computed_once_per_length(predictor):
    interpreter = make(predictor, integrated(steps=2), layer=1)
    compute = interpreter.texts.masked_batch
    lengths = []

    def counted(instances, stand_in):
        batch = compute(instances, stand_in)
        lengths.extend(batch.inputs.mask.sum(1).tolist())
        return batch

    interpreter.texts.masked_batch = counted
    interpreter.saliency_interpret_batch_json(LINES)
    assert sorted(lengths) == sorted(set(lengths)) and len(lengths) > 3


@pytest.mark.parametrize("baseline, name", [("pad", "<pad>"), ("mask", "<mask>"), ("Ġfilm", "Ġfilm")])
def test_scores_add_up_to_the_difference_from_the_baseline(predictor, baseline, name):
    """Whatever token stands for each word piece in it: here the model itself reads such a text."""
    settings = {"type": "layer-saliency", "layer": 1, "special_tokens": "keep"}
    interpreter = make(predictor, integrated(steps=100, baseline=baseline), **settings)
    line = LINES[1]
    instance = interpreter.saliency_interpret_from_json(line)["instance_1"]
    tokenizer = interpreter.texts.tokenizer
    batch = interpreter.texts.batch(interpreter.texts.prepare([predictor._json_to_instance(line)]).instances)
    indexed = batch.tensors["tokens"]["tokens"]
    stand_in = tokenizer.convert_tokens_to_ids(name)
    special = torch.tensor(sorted(interpreter.texts.special_ids))
    ids = indexed["token_ids"]
    indexed["token_ids"] = torch.where(torch.isin(ids, special), ids, torch.full_like(ids, stand_in))
    assert (indexed["token_ids"] != ids).any()
    with torch.no_grad():
        logits = predictor._model(**batch.tensors)["logits"][0]
    predicted = predictor._model.vocab.get_token_index(instance["target"]["label"], "labels")
    wanted = instance["target"]["score"] - float(logits[predicted])
    assert sum(instance["signed_1"]) == pytest.approx(wanted, rel=1e-3, abs=1e-4)
    assert abs(instance["completeness_gap"]) < 1e-3 * max(1.0, abs(wanted))


def averaged(model):
    """As weight averaging does: the parameters' version counters stay."""
    for parameter in model.parameters():
        parameter.data.copy_(parameter.data * 0.5)


def replaced(model):
    embeddings = model._text_field_embedder.token_embedder_tokens.transformer_model.embeddings
    embeddings.word_embeddings.weight = torch.nn.Parameter(embeddings.word_embeddings.weight.detach() * 2)


@pytest.mark.parametrize("change", [averaged, replaced])
def test_nothing_is_left_of_the_parameters_that_a_model_had(predictor, change):
    used = make(predictor, integrated(steps=2), layer=1)
    before = used.saliency_interpret_batch_json(LINES)
    change(predictor._model)
    after = used.saliency_interpret_batch_json(LINES)
    assert after == make(predictor, integrated(steps=2), layer=1).saliency_interpret_batch_json(LINES)
    assert after != before
    tokenizer = predictor._dataset_reader._tokenizer.tokenizer
    ids = torch.tensor([tokenizer(SENTENCES[1])["input_ids"]])
    masked = ids.clone()
    masked[:, 1:-1] = tokenizer.mask_token_id
    label = predictor._model.vocab.get_token_index(after[1]["instance_1"]["target"]["label"], "labels")

    def logit(ids):
        mask = torch.ones_like(ids, dtype=torch.bool)
        tokens = {"tokens": {"token_ids": ids, "mask": mask, "type_ids": torch.zeros_like(ids)}}
        return predictor._model(tokens)["logits"][0, label].item()

    out = after[1]["instance_1"]
    gap = logit(ids) - logit(masked) - sum(out["signed_1"])
    assert out["completeness_gap"] == pytest.approx(gap, abs=1e-4)


def test_the_whole_pass_runs_once(predictor):
    """Blocks up to the layer run once for the batch and once for the masked input, others per step."""
    transformer = predictor._model._text_field_embedder.token_embedder_tokens.transformer_model
    calls = []
    for i, block in enumerate(transformer.encoder.layer):
        inner = block.attention.self
        inner.register_forward_hook(lambda m, x, y, i=i: calls.append((i, len(x[0]))))
    interpreter = make(predictor, integrated(steps=4, baseline="zero"), layer=2)
    interpreter.saliency_interpret_batch_json(LINES[:2])
    # Two inputs, then their baselines, then 4 steps of them together.
    assert calls == [(0, 2), (1, 2), (2, 2), (2, 2), (2, 8)]


def test_how_often_the_fast_preset_runs_the_blocks(predictor):
    """
    For the prediction, at four places that it looks at and at the one that it chooses; masked inputs of the
    whole call go through together, once.
    """
    transformer = predictor._model._text_field_embedder.token_embedder_tokens.transformer_model
    rows = []
    transformer.encoder.layer[-1].register_forward_hook(lambda m, x, y: rows.append(len(x[0])))
    interpreter = make(predictor, None, preset="fast")
    # Two texts of one length and one of another: two masked inputs.
    lines = [{"sentence": text} for text in ("good film", "bad film", "so very very good")]
    interpreter.saliency_interpret_batch_json(lines)
    assert rows == [3, 2, 12, 3]


@pytest.mark.parametrize("type", ["layer-saliency", "decoded-layer-saliency"])
def test_several_layers(predictor, type):
    aggregation = integrated(steps=3)
    out = make(predictor, dict(aggregation), type, layer=[0, 2]).saliency_interpret_from_json(LINES[2])[
        "instance_1"
    ]
    for entry in out["layers"]:
        (alone,) = make(
            predictor, dict(aggregation), type, layer=entry["layer"]
        ).saliency_interpret_batch_json([LINES[2]])
        assert entry["signed_1"] == pytest.approx(alone["instance_1"]["signed_1"], abs=1e-6)
        assert entry["completeness_gap"] == pytest.approx(alone["instance_1"]["completeness_gap"], abs=1e-6)


def test_a_tokenizer_without_a_mask(tmp_path):
    predictor, lines = rows.architecture("gpt2")(tmp_path)
    tokenizer = predictor._dataset_reader._token_indexers["tokens"]._tokenizer

    def signed(**settings):
        out = make(predictor, integrated(**settings)).saliency_interpret_from_json(lines[0])
        return out["instance_1"]["signed_1"]

    tokenizer.mask_token = None
    by_unknown = signed()
    tokenizer.mask_token = tokenizer.unk_token
    assert by_unknown == signed()
    tokenizer.mask_token = tokenizer.unk_token = tokenizer.pad_token = None
    by_end = signed()
    assert any(by_end) and by_end != by_unknown
    tokenizer.eos_token = None
    with pytest.raises(ConfigurationError, match='no mask token, and no unknown, padding.*use "zero"'):
        make(predictor, integrated())
    assert any(signed(baseline="zero"))
    # What explains nothing needs no token to stand in.
    make(predictor, None, type="attention-rollout")


@pytest.mark.parametrize(
    "aggregation, message",
    [
        (integrated(steps=0), "integrated-gradients: steps must be at least 1; got 0"),
        (integrated(marginals=-1), "marginals must be 0 or more; got -1"),
        (integrated(rule="simpson"), "rule must be one of .*got 'simpson'"),
        (
            integrated(baseline="noise"),
            "baseline must be .* a token of the tokenizer; it has none that is written 'noise'",
        ),
        ({"type": "smooth-gradient", "samples": 0}, "samples must be at least 1"),
        ({"type": "smooth-gradient", "noise": -0.1}, "noise 0 or more"),
        (
            {"type": "smooth-gradient", "aggregation": "integrated-gradients"},
            "must be gradient-norm, gradient-x-input or grad-cam",
        ),
    ],
)
def test_settings_out_of_range(predictor, aggregation, message):
    with pytest.raises(ConfigurationError, match=message):
        make(predictor, aggregation)


def test_a_baseline_of_padding_needs_a_padding_token(predictor):
    """GPT-2's and Llama's tokenizers have none."""
    make(predictor, integrated()).texts.tokenizer.pad_token = None
    with pytest.raises(ConfigurationError, match="it has none that is written 'pad'"):
        make(predictor, integrated(baseline="pad"))


@pytest.mark.parametrize("as_words", [False, True])
def test_what_was_explained_before_changes_nothing(tmp_path, as_words):
    """Two texts of 5 and 2 words, then of 2 and 5: as long together, and with the same special tokens."""
    predictor, _ = rows.two_fields(as_words)(tmp_path)
    long, short = "a good film , good", "a film"
    lines = [
        {"premise": long, "hypothesis": short},
        {"premise": short, "hypothesis": long},
    ]
    interpreter = make(predictor, integrated(steps=2), layer=1)
    together = interpreter.saliency_interpret_batch_json(lines)
    for line, out in zip(lines, together):
        alone = make(predictor, integrated(steps=2), layer=1).saliency_interpret_from_json(line)
        for key in ("signed_1", "signed_2"):
            assert out["instance_1"][key] == pytest.approx(alone["instance_1"][key], abs=1e-6)


def test_token_types_tell_masked_inputs_apart(tmp_path):
    """A text that holds a literal separator, and a pair of texts: the same word pieces, of other types."""
    path = str(tmp_path / "classifier")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "film", "story"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(path)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
    )
    torch.manual_seed(0)
    classifier = transformers.BertForSequenceClassification(config)
    reseed_weights(classifier, 3)
    classifier.save_pretrained(path)
    make_archive(path, str(tmp_path / "model.tar.gz"))
    predictor = Predictor.from_path(str(tmp_path / "model.tar.gz"))
    texts = ("a good [SEP] a film", None), ("a good", "a film")
    instances = [predictor._dataset_reader.text_to_instance(*text) for text in texts]

    def signed(*chosen):
        interpreter = make(predictor, integrated(steps=2), layer=1)
        explained = interpreter.saliency_interpret_batch_instance(list(chosen))
        return [out["instance_1"]["signed_1"] for out in explained]

    together = signed(*instances)
    assert [t.text_id for t in instances[0]["tokens"]] == [t.text_id for t in instances[1]["tokens"]]
    alone = [signed(instance)[0] for instance in instances]
    assert alone[0] != pytest.approx(alone[1], abs=1e-4)
    for got, wanted in zip(together, alone):
        assert got == pytest.approx(wanted, abs=1e-6)


def test_each_explained_score_has_adaptive_points_of_its_own(tmp_path):
    """With many steps they come to the same integral, whichever of a text's scores it is."""
    tags = ["O", "I-PER", "I-LOC"]
    predictor, lines = rows.tagger(tags, 5, type="simple_tagger", train_parameters=False)(tmp_path)

    def found(**settings):
        interpreter = make(predictor, integrated(baseline="mask", **settings), layer=1)
        return [
            entry["signed_1"]
            for out in interpreter.saliency_interpret_batch_json(lines)
            for entry in out.values()
        ]

    adaptive, wanted = found(steps=60, rule="adaptive"), found(steps=60)
    assert len(wanted) > len(lines)
    for got, plain in zip(adaptive, wanted):
        assert got == pytest.approx(plain, abs=0.01 * max(map(abs, plain)) + 1e-7)
