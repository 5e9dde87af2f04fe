"""A wrapped Hugging Face classifier predicts what plain transformers does, alone and in a batch."""

import inspect

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.conformance import rows

# Decoders are in tests/models/test_decoder_classifiers.py, with tokenizers like theirs.
CLASSIFIERS = {
    "albert": "AlbertForSequenceClassification",
    "bart": "BartForSequenceClassification",
    "bert": "BertForSequenceClassification",
    "camembert": "CamembertForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "electra": "ElectraForSequenceClassification",
    "mpnet": "MPNetForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
    "xlnet": "XLNetForSequenceClassification",
}
TEXTS = [("a good film", None), ("bad", None), ("a very long film , not good", None)]
PAIRS = [("a good film", "good"), ("bad", "a bad film , not good"), ("a film", "a film")]


@pytest.mark.parametrize("texts", [TEXTS, PAIRS], ids=["texts", "pairs"])
@pytest.mark.parametrize("model_type", CLASSIFIERS)
def test_predictions_are_those_of_plain_transformers(tmp_path, model_type, texts):
    predictor, _ = rows.plain_classifier(CLASSIFIERS[model_type], model_type)(tmp_path)
    path = str(tmp_path / "classifier")
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path).eval()
    known = inspect.signature(model.forward).parameters
    wanted = []
    for text in texts:
        encoding = tokenizer(*text, return_tensors="pt")
        with torch.no_grad():
            output = model(**{key: value for key, value in encoding.items() if key in known})
        wanted.append(output.logits[0].tolist())
    instances = [predictor._dataset_reader.text_to_instance(*text) for text in texts]
    together = predictor.predict_batch_instance(instances)
    alone = [predictor.predict_instance(predictor._dataset_reader.text_to_instance(*text)) for text in texts]
    for batched, single, logits in zip(together, alone, wanted):
        assert batched["logits"] == pytest.approx(logits, abs=1e-5)
        assert single["logits"] == pytest.approx(logits, abs=1e-5)
