"""AllenNLP's model of coreferences: the scores of its links, which are not among its outputs."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

from allennlp.models import Model
from torch import Tensor

SCORES = "coreference_scores"
_ANTECEDENTS = "antecedent_indices"


def with_link_scores(model: Model, tensors: Dict[str, Any]) -> Dict[str, Any]:
    """
    Run the model.

    # Parameters

    model : `allennlp_models.coref.CoreferenceResolver`
    tensors : `Dict[str, Any]`
        A batch of one document, or of copies; as it was indexed, or `with_spans` of it.

    # Returns

    `Dict[str, Any]`
        The model's outputs, and `SCORES`: of each span that it keeps, of "no antecedent" and of each
        antecedent that it considers. Shape: (batch, spans, 1 + antecedents).
    """
    given = dict(tensors)
    considered = given.pop(_ANTECEDENTS, None)
    with _recorded(model, considered) as scores:
        outputs = model(**given)
    return {**outputs, SCORES: scores[-1]}


def with_spans(tensors: Dict[str, Any], outputs: Dict[str, Any]) -> Dict[str, Any]:
    """
    The batch with the spans and antecedents that the model kept as its only ones, so that it keeps them
    whatever the text's states are.
    """
    return {**tensors, "spans": outputs["top_spans"], _ANTECEDENTS: outputs[_ANTECEDENTS]}


@contextmanager
def _recorded(model: Any, considered: Any) -> Iterator[List[Tensor]]:
    """The scores that the model computes while the block runs, the last ones being those that count."""
    scores: List[Tensor] = []
    score, prune = model._compute_coreference_scores, model._coarse_to_fine_pruning

    def scored(*arguments: Tensor) -> Tensor:
        scores.append(score(*arguments))
        return scores[-1]

    def pruned(embeddings: Tensor, mention_scores: Tensor, mask: Tensor, _: int) -> Tuple[Tensor, ...]:
        everything = prune(embeddings, mention_scores, mask, embeddings.size(1))
        return tuple(of_each.gather(2, considered) for of_each in everything)

    model._compute_coreference_scores = scored
    if considered is not None:
        model._coarse_to_fine_pruning = pruned
    try:
        yield scores
    finally:
        del model._compute_coreference_scores
        if considered is not None:
            del model._coarse_to_fine_pruning
