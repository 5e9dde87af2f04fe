"""Instances for interpreters that ask a predictor for labelled ones."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.predictors import Predictor


@contextmanager
def labelled(inner: Predictor, instance: Instance, outputs: Dict[str, Any]) -> Iterator[None]:
    """
    Let an interpreter that asks for labelled instances have those of this instance.

    So no second forward pass is needed, and an instance that never was JSON can be explained. A
    predictor with a procedure of its own keeps it.
    """
    if type(inner).json_to_labeled_instances is not Predictor.json_to_labeled_instances:
        yield
        return
    # TextualEntailmentPredictor reads `label_logits`; a classifier of one field calls them `logits`.
    outputs = {"label_logits": outputs.get("logits"), **outputs}

    def labelled_instances(_: JsonDict) -> List[Instance]:
        try:
            return inner.predictions_to_labeled_instances(instance, outputs)
        except KeyError as error:
            raise ConfigurationError(
                f"the interpreter explains the loss of a predicted class, and the model gives no {error}"
            ) from error

    inner.json_to_labeled_instances = labelled_instances  # type: ignore[assignment]
    try:
        yield
    finally:
        del inner.json_to_labeled_instances
