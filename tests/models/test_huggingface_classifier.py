import pytest
import torch
from allennlp.common.checks import ConfigurationError
from allennlp.data import Vocabulary

from allennlp_layer_saliency.models import HuggingFaceClassifier
from allennlp_layer_saliency.models.huggingface import in_archive
from tests.commands.test_archive import LABELS, save_classifier


def vocabulary(*labels):
    vocabulary = Vocabulary.empty()
    for label in labels:
        vocabulary.add_token_to_namespace(label, "labels")
    return vocabulary


def test_loss_and_accuracy(tmp_path):
    folder = save_classifier("bert", tmp_path)
    model = HuggingFaceClassifier(vocabulary(*LABELS.values()), folder).eval()
    ids = torch.tensor([[5, 6, 7], [8, 9, 0]])
    tokens = {"tokens": {"token_ids": ids, "mask": ids > 0, "type_ids": torch.zeros_like(ids)}}
    logits = model(tokens)["logits"]
    label = logits.argmax(-1)
    wanted = -torch.log_softmax(logits, -1).gather(1, label.unsqueeze(1)).mean()
    assert model(tokens, label)["loss"].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert model.get_metrics()["accuracy"] == 1.0


def test_labels_in_another_order_are_refused(tmp_path):
    folder = save_classifier("bert", tmp_path)
    with pytest.raises(ConfigurationError, match="the vocabulary .'positive'.*allennlp saliency arch"):
        HuggingFaceClassifier(vocabulary("positive", "negative", "<b>mixed</b>"), folder)


def test_only_folders_inside_the_archive_are_taken_from_it(tmp_path):
    (tmp_path / "archive" / "inside").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    archive = str(tmp_path / "archive")
    assert in_archive("inside", archive) == str(tmp_path / "archive" / "inside")
    assert in_archive("../outside", archive) == "../outside"
    assert in_archive("roberta-base", archive) == "roberta-base"
    assert in_archive("inside", None) == "inside"
