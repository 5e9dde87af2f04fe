import pytest
import torch
from allennlp.common.checks import ConfigurationError
from allennlp.models.archival import load_archive

from allennlp_layer_saliency.predictors import SaliencyPredictor
from allennlp_layer_saliency.predictors.opening import open_model
from allennlp_layer_saliency.server.live import INTERPRETERS, LiveModel, Span
from tests.commands.test_archive import save_classifier
from tests.conftest import ROOT

TEXT = {"sentence": "  an Utterly charming film,  not bad "}
PAIR = {"premise": "a good film", "hypothesis": "it is bad"}


@pytest.fixture(scope="module")
def archive():
    return load_archive(str(ROOT / "fixtures" / "sst2-classifier.tar.gz"))


@pytest.fixture
def live(archive, monkeypatch):
    monkeypatch.chdir(ROOT)
    return LiveModel(archive.model, archive.validation_dataset_reader, INTERPRETERS)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return open_model(save_classifier("bert", tmp_path_factory.mktemp("pairs")))


def drawn(found, which=0):
    (text,) = found["data"]["texts"]
    view = text["views"][which]
    return view, [found["data"]["pieces"][token] for token in view["tokens"]]


def test_what_is_explained_is_what_predict_gives(live, archive):
    found = live.explain(TEXT, "decoded, fast")
    fast = {"type": "decoded-layer-saliency", "preset": "fast"}
    predictor = SaliencyPredictor(archive.model, archive.validation_dataset_reader, interpreter=fast)
    (line,) = predictor.outputs([TEXT])
    assert found["label"] == found["explained"] == line["label"]
    assert list(found["probabilities"].values()) == pytest.approx(line["probs"], abs=1e-6)
    assert list(found["logits"].values()) == pytest.approx(line["logits"], abs=1e-5)
    view, pieces = drawn(found)
    (layer,) = view["layers"]
    scores = [step * layer["m"] / found["data"]["steps"] for step in layer["s"]]
    assert scores == pytest.approx(line["saliency"]["instance_1"]["signed_1"], abs=layer["m"] / 150)
    # Each word's place is where the text has it.
    for piece, span, special in zip(pieces, found["spans"], view["special"]):
        assert (span is None) == bool(special)
        if span is not None:
            assert TEXT["sentence"][span.start : span.end].strip() == piece.strip()


def test_classes_layers_and_interpreters(live):
    for name, ours in live.interpreters.items():
        assert drawn(live.explain(TEXT, name))[0]["layers"]
        assert ours == (name not in ("simple-gradient", "integrated-gradient", "attention-rollout"))
    found = live.explain(TEXT, "not decoded", "all", "negative", "positive")
    view, _ = drawn(found)
    assert [layer["l"] for layer in view["layers"]] == [0, 1, 2, 3, 4] and live.layers == 4
    assert found["explained"] == "negative" and "positive" in view["target"]
    assert live.labels == list(found["probabilities"]) and set(live.labels) == {"negative", "positive"}
    with pytest.raises(ConfigurationError, match="no interpreter 'none'; there are decoded, fast"):
        live.explain(TEXT, "none")
    with pytest.raises(ConfigurationError, match='layer: a number or "all" is wanted'):
        live.explain(TEXT, "not decoded", "first")
    with pytest.raises(ConfigurationError, match="not decoded: .*layer"):
        live.explain(TEXT, "not decoded", "17")
    with pytest.raises(ConfigurationError, match="empty"):
        live.explain({"sentence": "  "}, "not decoded")


def test_masking_is_of_ids(live, archive):
    start = TEXT["sentence"].index("charming")
    found = live.predict(TEXT, [Span(0, start, start + len("charming"))])
    reader, model = archive.validation_dataset_reader, archive.model
    instance = reader.text_to_instance(TEXT["sentence"])
    reader.apply_token_indexers(instance)
    instance.index_fields(model.vocab)
    from allennlp.data import Batch

    tensors = Batch([instance]).as_tensor_dict()
    ids = tensors["tokens"]["tokens"]["token_ids"]
    tokenizer = reader._tokenizer.tokenizer
    for i, token in enumerate(instance["tokens"].tokens):
        inside = token.idx is not None and start <= token.idx < start + len("charming")
        if inside:
            ids[0, i] = tokenizer.mask_token_id
    assert (ids == tokenizer.mask_token_id).any()
    with torch.no_grad():
        wanted = model.eval()(**{k: v for k, v in tensors.items() if k == "tokens"})["logits"][0]
    assert list(found["logits"].values()) == pytest.approx(wanted.tolist(), abs=1e-5)
    assert live.predict(TEXT) != found
    with pytest.raises(ConfigurationError, match="no word to mask"):
        live.predict(TEXT, [Span(0, 500, 600)])


def test_pairs(pairs):
    interpreters = {"ours": {"type": "layer-saliency"}, "theirs": {"type": "simple-gradient"}}
    live = LiveModel(*pairs, interpreters, "textual_entailment")
    assert live.fields == ["premise", "hypothesis"]
    found = live.explain(PAIR, "ours")
    _, pieces = drawn(found)
    for piece, span in zip(pieces, found["spans"]):
        if span is not None:
            assert list(PAIR.values())[span.text][span.start : span.end].strip() == piece.strip()
    assert {span.text for span in found["spans"] if span is not None} == {0, 1}
    masked = [live.predict(PAIR, [Span(text, 0, 1)])["logits"] for text in (0, 1)]
    assert masked[0] != masked[1] != live.predict(PAIR)["logits"]


def test_a_model_without_a_head_starts_with_what_can_be_built(pairs, caplog):
    broken = {"type": "decoded-layer-saliency", "lm_head": {"type": "pretrained", "model_name": "nowhere"}}
    live = LiveModel(*pairs, {"decoded": broken, "plain": {"type": "layer-saliency"}})
    assert live.first == "plain" and "decoded: " in caplog.text
    with pytest.raises(ConfigurationError, match="nowhere"):
        LiveModel(*pairs, {"decoded": broken})


def test_few_interpreters_are_kept(live):
    from allennlp_layer_saliency.server.live import KEPT

    for layer in range(5):
        live.explain(TEXT, "not decoded", str(layer))
    assert len(live._built) == KEPT


def test_a_saved_page_has_the_tries(live):
    tries = [
        {"texts": TEXT, "interpreter": "not decoded"},
        {"texts": {"sentence": "dull"}, "interpreter": "decoded, fast"},
    ]
    html = live.report(tries, "<i>title</i>")
    assert "&lt;i&gt;title" in html and "<i>title" not in html
