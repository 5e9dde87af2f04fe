"""AllenNLP on versions that it was not written for. A mend that is no longer needed turns its test red."""

import os
import subprocess
import sys

import pytest
import torch
import transformers
from allennlp.data import Vocabulary
from allennlp.data.token_indexers import PretrainedTransformerIndexer
from allennlp.data.tokenizers import PretrainedTransformerTokenizer
from allennlp.models import Model
from allennlp.training.optimizers import HuggingfaceAdamWOptimizer

import allennlp_compatibility
from allennlp_compatibility.adamw import AdamW
from allennlp_compatibility.mends import MENDS
from tests.conftest import ROOT

NEWEST = not transformers.__version__.startswith("4.")


def run(code, *flags, **environment):
    """The exit status, output and last line of errors of a new Python that has the checkout on its path."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *flags, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip(), (done.stderr.strip().splitlines() or [""])[-1]


# Starts Python without the .pth file's line.
WITHOUT = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != 'Hook']; "
ONLY = (
    "import allennlp_compatibility as a, allennlp_compatibility.mends as m; a.install(); "
    "m.MENDS = {k: v for k, v in m.MENDS.items() if k != %r}; "
)


TOKENIZE = """
from allennlp.data.tokenizers import PretrainedTransformerTokenizer
tokens = PretrainedTransformerTokenizer({folder!r}).tokenize("a film that is bad and slow and good")
"""
# Where AllenNLP breaks without each mend, and with what words.
BREAKS = {
    "hub names": ("import allennlp.common.push_to_hf", "cannot import name 'HfFolder'"),
    "AdamW": ("import allennlp.training.optimizers", "AdamW"),
    "loading of tokenizers": (TOKENIZE, "add_special_tokens"),
    "encode_plus": (TOKENIZE, "encode_plus"),
    "build_inputs_with_special_tokens": (
        TOKENIZE
        + """
from allennlp.data import Vocabulary
from allennlp.data.token_indexers import PretrainedTransformerIndexer
PretrainedTransformerIndexer({folder!r}, max_length=4).tokens_to_indices(tokens, Vocabulary())
""",
        "build_inputs_with_special_tokens",
    ),
    "computed buffers": (
        "from allennlp.models import load_archive\nload_archive('fixtures/sst2-classifier.tar.gz')",
        "position_ids",
    ),
    "loading in float32": (
        """
import torch
from allennlp.common import cached_transformers
assert cached_transformers.get({half!r}, False).dtype == torch.float32, "the file has its own type"
""",
        "the file has its own type",
    ),
}


@pytest.fixture(scope="module")
def folders(roberta_folder, tmp_path_factory):
    """A model, and the same in a file of half precision."""
    half = str(tmp_path_factory.mktemp("half"))
    model = transformers.AutoModel.from_pretrained(roberta_folder).to(torch.bfloat16)
    model.save_pretrained(half)
    return {"folder": str(roberta_folder), "half": half}


@pytest.mark.skipif(not NEWEST, reason="AllenNLP's own versions need none")
@pytest.mark.parametrize("mend", BREAKS)
def test_allennlp_breaks_without_it(mend, folders):
    code, error = BREAKS[mend]
    status, _, last = run(WITHOUT + ONLY % mend + code.format(**folders))
    assert status == 1 and error in last, last


def test_all_together_are_enough_and_none_is_active_with_allennlps_own_versions(folders):
    code = "import allennlp_compatibility.mends as m\n"
    code += "print([name for name, mend in m.MENDS.items() if mend.needed()])\n"
    code += "\n".join(code.format(**folders) for code, _ in BREAKS.values())
    assert set(BREAKS) == set(MENDS)
    assert run(code)[:2] == (0, str(list(MENDS) if NEWEST else []))


def test_what_is_lent_is_taken_back():
    code = (
        "import allennlp_compatibility, allennlp.common.push_to_hf, allennlp.training.optimizers\n"
        "import huggingface_hub, transformers\n"
        "print(hasattr(huggingface_hub, 'HfFolder'), hasattr(transformers, 'AdamW'))"
    )
    assert run(code) == (0, str((not NEWEST, not NEWEST))[1:-1].replace(",", ""), "")


def test_other_programs_load_nothing_of_it_but_the_hook():
    code = "import sys, transformers; " "print([name for name in sys.modules if name.startswith('allennlp')])"
    assert run("import allennlp_compatibility; " + code) == (0, "['allennlp_compatibility']", "")


def test_it_can_be_switched_off():
    code = "import allennlp_compatibility as a; print(a.is_installed())"
    assert run(code)[1] == "True"
    assert run(code, ALLENNLP_COMPATIBILITY="off")[1] == "False"


@pytest.mark.skipif(not NEWEST, reason="AllenNLP's own versions need none")
def test_switched_off_the_plugins_last_line_says_what_is_wrong():
    status, _, last = run("import allennlp_layer_saliency", ALLENNLP_COMPATIBILITY="off")
    assert status == 1
    assert last.startswith(f"ImportError: transformers {transformers.__version__} does not work with")


def test_a_command_for_pythons_that_read_no_pth_files():
    code = "import sys; sys.argv = ['allennlp', '--version']\n"
    code += "from allennlp_compatibility.__main__ import main; main()"
    assert run(WITHOUT + code)[:2] == (0, "allennlp 2.10.1")


def test_installed_twice_it_is_there_once():
    before = list(sys.meta_path)
    allennlp_compatibility.install()
    assert sys.meta_path == before


@pytest.mark.parametrize("correct_bias", [True, False])
def test_adamw_against_hand_computed_numbers(correct_bias):
    """Two steps of gradient 1 and then 3, from 1: lr .1, betas .5 and .75, eps .01, decay .2."""
    parameter = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.double))
    adamw = AdamW([parameter], 0.1, (0.5, 0.75), 0.01, 0.2, correct_bias)
    value, mean, square = 1.0, 0.0, 0.0
    for step, gradient in enumerate([1.0, 3.0], start=1):
        parameter.grad = torch.full_like(parameter, gradient)
        adamw.step()
        mean = 0.5 * mean + 0.5 * gradient
        square = 0.75 * square + 0.25 * gradient**2
        rate = 0.1
        if correct_bias:
            rate *= (1 - 0.75**step) ** 0.5 / (1 - 0.5**step)
        value -= rate * mean / (square**0.5 + 0.01)
        value -= 0.1 * 0.2 * value
        assert parameter.item() == pytest.approx(value, rel=1e-12)


@pytest.mark.skipif(not hasattr(transformers, "AdamW"), reason="transformers has it until 4.49")
def test_adamw_is_the_one_that_transformers_had():
    optimizers, parameters = [], []
    for kind in (AdamW, getattr(transformers, "AdamW", None)):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 7))
        parameters.append(parameter)
        optimizers.append(kind([parameter], lr=0.01, weight_decay=0.1))
    for step in range(5):
        for optimizer, parameter in zip(optimizers, parameters):
            parameter.grad = torch.sin(parameter.detach() * (step + 1))
            optimizer.step()
    assert torch.allclose(*parameters, rtol=0, atol=1e-7)


def test_the_optimizer_is_registered_and_steps():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = HuggingfaceAdamWOptimizer([("weights", parameter)], lr=0.1, weight_decay=0.1)
    parameter.grad = torch.ones(3)
    optimizer.step()
    assert torch.allclose(parameter, torch.full((3,), 0.9 * 0.99))


def test_segments_of_a_long_text_have_the_tokenizers_special_tokens(roberta_folder, bert_folder):
    for folder in (roberta_folder, bert_folder):
        tokenizer = PretrainedTransformerTokenizer(str(folder)).tokenizer
        indexer = PretrainedTransformerIndexer(str(folder), max_length=4)
        ids = tokenizer("good film", add_special_tokens=False)["input_ids"]
        with_special = indexer._tokenizer.build_inputs_with_special_tokens(ids)
        assert with_special == tokenizer("good film")["input_ids"]


def test_causal_masks_of_earlier_versions_are_passed_over():
    """Archives hold them; the models of later versions compute them."""
    config = transformers.GPT2Config(
        vocab_size=40, n_embd=8, n_layer=1, n_head=2, num_labels=2, n_positions=16
    )

    class Classifier(Model):
        def __init__(self) -> None:
            super().__init__(Vocabulary.empty())
            self.classifier = transformers.GPT2ForSequenceClassification(config)

    model = Classifier()
    saved = model.state_dict()
    attention = "classifier.transformer.h.0.attn"
    saved[f"{attention}.bias"] = torch.ones(1, 1, 16, 16).tril().to(torch.uint8)
    saved[f"{attention}.masked_bias"] = torch.tensor(-1e4)
    assert list(model.load_state_dict(dict(saved), strict=False).unexpected_keys) == []
    saved["classifier.transformer.h.0.attn.other"] = torch.ones(1)
    assert list(model.load_state_dict(dict(saved), strict=False).unexpected_keys) == [f"{attention}.other"]
