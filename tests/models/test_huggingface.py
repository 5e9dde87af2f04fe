import pytest
import torch
import transformers
from torch import nn

from allennlp_layer_saliency.core.capture import capture
from allennlp_layer_saliency.models import huggingface
from allennlp_layer_saliency.models.huggingface.loading import loading
from tests.conftest import hook_count, reseed_weights, save_bert, save_roberta, weights_file

COMMON = {"vocab_size": 40, "num_hidden_layers": 3, "hidden_size": 16, "num_attention_heads": 2}
ENCODER = dict(COMMON, intermediate_size=24, max_position_embeddings=20)
# Every architecture of the table, tiny: (config, its language model class).
TINY = {
    "albert": (
        transformers.AlbertConfig(**ENCODER, embedding_size=8, num_hidden_groups=2),
        "AlbertForMaskedLM",
    ),
    "bart": (
        transformers.BartConfig(
            vocab_size=40,
            d_model=16,
            encoder_layers=3,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=24,
            decoder_ffn_dim=24,
            max_position_embeddings=20,
        ),
        "BartForConditionalGeneration",
    ),
    "bert": (transformers.BertConfig(**ENCODER), "BertForMaskedLM"),
    "camembert": (
        transformers.CamembertConfig(**ENCODER, pad_token_id=1),
        "CamembertForMaskedLM",
    ),
    "deberta": (transformers.DebertaConfig(**ENCODER), "DebertaForMaskedLM"),
    "deberta-v2": (transformers.DebertaV2Config(**ENCODER), "DebertaV2ForMaskedLM"),
    "distilbert": (
        transformers.DistilBertConfig(
            vocab_size=40, n_layers=3, dim=16, n_heads=2, hidden_dim=24, max_position_embeddings=20
        ),
        "DistilBertForMaskedLM",
    ),
    "electra": (
        transformers.ElectraConfig(**ENCODER, embedding_size=8),
        "ElectraForMaskedLM",
    ),
    "gpt2": (
        transformers.GPT2Config(vocab_size=40, n_layer=3, n_embd=16, n_head=2, n_positions=20),
        "GPT2LMHeadModel",
    ),
    "mpnet": (transformers.MPNetConfig(**ENCODER), "MPNetForMaskedLM"),
    "roberta": (transformers.RobertaConfig(**ENCODER), "RobertaForMaskedLM"),
    "xlm-roberta": (transformers.XLMRobertaConfig(**ENCODER), "XLMRobertaForMaskedLM"),
    "xlnet": (
        transformers.XLNetConfig(vocab_size=40, d_model=16, n_layer=3, n_head=2, d_inner=24),
        "XLNetLMHeadModel",
    ),
}


def tiny(model_type):
    """A model of the type; of an encoder-decoder model its encoder."""
    model = transformers.AutoModel.from_config(TINY[model_type][0]).eval()
    reseed_weights(model, 5)
    return model.get_encoder() if model.config.is_encoder_decoder else model


def test_every_architecture_is_tested():
    assert set(TINY) == set(huggingface.ARCHITECTURES)


@pytest.mark.parametrize("model_type", TINY)
def test_taps_read_the_models_own_hidden_states(model_type):
    model = tiny(model_type)
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    weight = torch.randn(16, generator=torch.Generator().manual_seed(1))

    def score(output):
        return ((output.last_hidden_state[:, -1] * weight).sum(-1) ** 2).unsqueeze(0)

    layers = huggingface.layers_of(model)
    taps = dict(enumerate(layers.taps))
    captured = capture(model, taps, lambda: model(input_ids=ids), score, layers.word_embeddings)
    assert torch.equal(captured.token_ids[0], ids)
    output = model(input_ids=ids, output_hidden_states=True)
    assert len(taps) == len(output.hidden_states) == 4
    for layer, state in enumerate(output.hidden_states):
        assert torch.allclose(captured.hidden_states[layer][0], state, atol=1e-6)
    if model_type == "xlnet":
        return  # its hidden_states are copies outside the graph
    gradients = torch.autograd.grad(score(output).sum(), output.hidden_states)
    for layer, gradient in enumerate(gradients):
        assert torch.allclose(captured.gradients[0][layer][0], gradient, atol=1e-5)


@pytest.mark.parametrize("model_type", ["albert", "gpt2", "xlnet"])
@pytest.mark.parametrize("layer", [0, 1, 3])
def test_gradients_are_those_of_the_following_layers(model_type, layer):
    """Against central differences: the tapped state is moved, and the score read."""
    model = tiny(model_type).double()
    ids = torch.tensor([[5, 6, 7, 8]])
    generator = torch.Generator().manual_seed(layer)
    weight = torch.randn(16, generator=generator, dtype=torch.double)
    tap = huggingface.layers_of(model).taps[layer]

    def score(output):
        return (output.last_hidden_state[:, -1] * weight).sum(-1, keepdim=True)

    captured = capture(model, {layer: tap}, lambda: model(input_ids=ids), score)
    state = captured.hidden_states[layer][0]
    direction = torch.randn(state.shape, generator=generator, dtype=torch.double)
    direction[:, :-1] *= 0.1  # the last layer's score depends on the last position only

    def moved(step):
        count = 0

        def hook(module, inputs, output):
            nonlocal count
            count += 1
            if (count - 1) % tap.calls != tap.call:
                return None
            new = state + step * direction
            new = new.transpose(0, 1) if tap.time_major else new
            return (new, *output[1:]) if isinstance(output, tuple) else new

        handle = tap.module.register_forward_hook(hook)
        with torch.no_grad():
            value = score(model(input_ids=ids)).item()
        handle.remove()
        return value

    wanted = (moved(1e-4) - moved(-1e-4)) / 2e-4
    got = (captured.gradients[0][layer][0] * direction).sum().item()
    assert got == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("model_type", TINY)
def test_the_head_alone_gives_the_whole_models_logits(model_type, tmp_path):
    config, class_name = TINY[model_type]
    lm = getattr(transformers, class_name)(config).eval()
    reseed_weights(lm, 6)
    lm.save_pretrained(tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        wanted = lm(input_ids=ids).logits[0]
        hidden_states = lm.base_model(input_ids=ids)[0][0]
    decoder = huggingface.load_lm_head(str(tmp_path))
    assert torch.allclose(decoder.logits(hidden_states), wanted, atol=1e-5)
    assert (decoder.vocabulary_size, decoder.hidden_size) == (40, 16)
    assert torch.equal(decoder.output_embeddings, lm.get_output_embeddings().weight)


def test_a_final_norm_is_known():
    assert huggingface.layers_of(tiny("bert")).final_norm is None
    gpt2 = tiny("gpt2")
    assert huggingface.layers_of(gpt2).final_norm is gpt2.ln_f


def test_a_model_without_an_lm_head_is_refused(tmp_path):
    transformers.BertModel(TINY["bert"][0]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no weights for its LM head .*cls.predictions.transform"):
        huggingface.load_lm_head(str(tmp_path))


def test_a_head_that_does_not_load_is_refused(tmp_path):
    lm = transformers.RobertaForMaskedLM(TINY["roberta"][0])
    state = {k: v for k, v in lm.state_dict().items() if k != "lm_head.dense.weight"}
    lm.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ValueError, match=r"no weights for its LM head \(lm_head.dense.weight\)"):
        huggingface.load_lm_head(str(tmp_path))


def test_no_model_at_all(tmp_path):
    with pytest.raises(ValueError, match="can't read a pretrained model from .*nothing"):
        huggingface.load_lm_head(str(tmp_path / "nothing"))
    transformers.BertForMaskedLM(TINY["bert"][0]).save_pretrained(tmp_path)
    weights_file(tmp_path).unlink()
    with pytest.raises(ValueError, match="no language model could be loaded from") as error:
        huggingface.load_lm_head(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("own_type", [False, True])
def test_remote_code_is_never_run(tmp_path, monkeypatch, own_type):
    """Nor does anybody get asked whether it may."""
    save_bert(tmp_path)
    config = (tmp_path / "config.json").read_text()
    mapping = '"auto_map": {"AutoConfig": "evil.C", "AutoModelForMaskedLM": "evil.M"}, '
    config = config.replace("{", "{" + mapping, 1)
    if own_type:
        config = config.replace('"model_type": "bert"', '"model_type": "evil"')
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "evil.py").write_text("raise SystemExit('remote code ran')")
    monkeypatch.setattr("builtins.input", pytest.fail)
    try:
        decoder = huggingface.load_lm_head(str(tmp_path))
    except ValueError as error:
        assert str(error).startswith("can't read a pretrained model")
    else:  # later versions of transformers take their own class of a type that they know
        assert decoder.hidden_size == 16 and not own_type


class Classifier(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def test_find_transformer():
    bert, roberta = tiny("bert"), tiny("roberta")
    one = Classifier(embedder=Classifier(transformer_model=bert), linear=nn.Linear(2, 2))
    assert huggingface.find_transformer(one) is bert
    assert huggingface.find_transformer(bert) is bert
    two = Classifier(first=bert, second=roberta)
    assert huggingface.find_transformer(two, "second") is roberta
    with pytest.raises(ValueError, match="several transformers; choose one .*: first, second"):
        huggingface.find_transformer(two)
    with pytest.raises(ValueError, match="no Hugging Face model at 'third'; there is one at .*first"):
        huggingface.find_transformer(two, "third")
    with pytest.raises(ValueError, match=r"no Hugging Face transformer.*linear \(Linear\)"):
        huggingface.find_transformer(Classifier(linear=nn.Linear(2, 2)))


# Architectures that the table does not name: (config, path of the blocks, of the final norm).
OTHERS = {
    "megatron-bert": (transformers.MegatronBertConfig(**ENCODER), "encoder.layer", "encoder.ln"),
    "gpt_neo": (
        transformers.GPTNeoConfig(
            vocab_size=40,
            hidden_size=16,
            num_layers=2,
            num_heads=2,
            attention_types=[[["global", "local"], 1]],
            max_position_embeddings=20,
        ),
        "h",
        "ln_f",
    ),
    "roformer": (transformers.RoFormerConfig(**ENCODER), "encoder.layer", None),
    "data2vec-text": (transformers.Data2VecTextConfig(**ENCODER), "encoder.layer", None),
    "layoutlm": (transformers.LayoutLMConfig(**ENCODER), "encoder.layer", None),
    "mbart": (
        transformers.MBartConfig(
            vocab_size=40, d_model=16, encoder_layers=3, encoder_ffn_dim=24, decoder_layers=1
        ),
        "layers",
        "layer_norm",
    ),
}
# Of later versions of transformers.
if hasattr(transformers, "ModernBertConfig"):
    OTHERS["modernbert"] = (
        transformers.ModernBertConfig(
            **ENCODER,
            global_attn_every_n_layers=2,
            local_attention=4,
            pad_token_id=1,
            bos_token_id=0,
            cls_token_id=0,
            eos_token_id=2,
            sep_token_id=2,
        ),
        "layers",
        "final_norm",
    )
if hasattr(transformers, "EuroBertConfig"):
    OTHERS["eurobert"] = (
        transformers.EuroBertConfig(
            **ENCODER,
            num_key_value_heads=2,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
            mask_token_id=4,
        ),
        "layers",
        "norm",
    )


def test_loading_is_quiet_and_leaves_the_settings(capsys):
    own = transformers.utils.logging
    own.set_verbosity_warning()
    try:
        own.enable_progress_bar()
        with loading():
            own.get_logger("transformers").warning("not wanted")
            assert own.get_verbosity() == own.ERROR
        assert own.get_verbosity() == own.WARNING
        assert getattr(own, "is_progress_bar_enabled", lambda: True)()
        assert capsys.readouterr() == ("", "")
    finally:
        own.disable_progress_bar()


@pytest.mark.parametrize("name", OTHERS)
def test_an_architecture_that_is_not_in_the_table_is_recognised(name):
    config, blocks, norm = OTHERS[name]
    assert config.model_type not in huggingface.ARCHITECTURES
    model = transformers.AutoModel.from_config(config)
    reseed_weights(model, 5)
    model = (model.get_encoder() if config.is_encoder_decoder else model).train()
    layers = huggingface.layers_of(model)
    assert model.training and hook_count(model) == 0
    assert [tap.module for tap in layers.taps[1:-1]] == list(model.get_submodule(blocks))[:-1]
    assert layers.final_norm is (norm and model.get_submodule(norm))
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    taps = dict(enumerate(layers.taps))
    captured = capture(model, taps, lambda: model(input_ids=ids), lambda o: o[0].sum(-1)[:, 1].unsqueeze(0))
    with torch.no_grad():
        wanted = model.eval()(input_ids=ids, output_hidden_states=True).hidden_states
    assert len(wanted) == len(taps)
    for layer, state in enumerate(wanted):
        assert torch.allclose(captured.hidden_states[layer][0], state, atol=1e-6)


@pytest.mark.parametrize(
    "config, lists",
    [
        (
            transformers.SqueezeBertConfig(**COMMON, intermediate_size=16, embedding_size=16),
            "encoder.layers",
        ),
        (transformers.XLMConfig(vocab_size=40, emb_dim=16, n_layers=3, n_heads=2), "attentions"),
    ],
    ids=["rearranges its states", "no list of blocks"],
)
def test_an_architecture_that_is_not_recognised_is_refused(config, lists):
    model = transformers.AutoModel.from_config(config)
    with pytest.raises(ValueError, match=f"'{config.model_type}' are not supported.*{lists}"):
        huggingface.layers_of(model)


def test_max_positions(tmp_path):
    save_roberta(tmp_path)
    config = transformers.AutoConfig.from_pretrained(str(tmp_path))
    assert huggingface.max_positions(config) == 64  # 66 positions, the first two never used
    assert huggingface.max_positions(TINY["bert"][0]) == 20
    assert huggingface.max_positions(TINY["gpt2"][0]) == 20


@pytest.mark.parametrize("model_type", ["roberta", "mpnet", "bert", "gpt2", "bart"])
def test_max_positions_is_what_the_model_can_take(model_type):
    model = tiny(model_type)
    room = huggingface.max_positions(model.config)
    model(input_ids=torch.full((1, room), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, room + 1), 5))


def test_who_is_told_which_text_a_token_belongs_to():
    assert huggingface.takes_token_types(transformers.BertConfig(type_vocab_size=2))
    assert not huggingface.takes_token_types(transformers.RobertaConfig(type_vocab_size=1))
    assert not huggingface.takes_token_types(transformers.DistilBertConfig())
    assert huggingface.takes_token_types(transformers.XLNetConfig())
