"""
method.md once more in plain torch: one sentence at a time, no hooks, no batches, loops over positions
and vocabulary items. It shares no code with the package.
"""

from typing import Dict, List, Optional

import torch
from transformers import AutoModelForMaskedLM


def hidden_state_and_gradient(predictor, text: str, layer: int, score=None):
    """h_l, D_l and the ids of one text, from `output_hidden_states` and one full backward pass."""
    model = predictor._model
    transformer = model._text_field_embedder.token_embedder_tokens.transformer_model
    tokenizer = predictor._dataset_reader._tokenizer.tokenizer
    ids = tokenizer(text, add_special_tokens=True)["input_ids"]
    output = transformer(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids)),
        output_hidden_states=True,
    )
    logits = model._classification_layer(output.last_hidden_state[:, 0])[0]
    value = logits[int(logits.argmax())] if score is None else score(logits)
    (gradient,) = torch.autograd.grad(value, output.hidden_states[layer])
    return output.hidden_states[layer][0].detach(), gradient[0], ids, value.item()


def weights(name: str, hidden: torch.Tensor, gradient: torch.Tensor) -> List[float]:
    if name == "gradient-norm":
        return [sum(x * x for x in row) ** 0.5 for row in gradient.double().tolist()]
    if name == "gradient-x-input":
        return [
            sum(g * h for g, h in zip(gs, hs))
            for gs, hs in zip(gradient.double().tolist(), hidden.double().tolist())
        ]
    assert name == "grad-cam"
    alpha = gradient.double().mean(0).tolist()
    return [max(0.0, sum(a * h for a, h in zip(alpha, row))) for row in hidden.double().tolist()]


def masked_lm(folder: str):
    return AutoModelForMaskedLM.from_pretrained(folder).eval().double()


def probabilities(lm, hidden: torch.Tensor) -> List[List[float]]:
    head = lm.lm_head if hasattr(lm, "lm_head") else lm.cls
    with torch.no_grad():
        return torch.softmax(head(hidden.double()), dim=-1).tolist()


def rows_of_a(
    decoded: List[List[float]],
    ids: List[int],
    special: set,
    tau: Optional[int],
    normalise: str,
    special_tokens: str,
) -> List[Dict[int, float]]:
    """A_n as {word piece: share}."""
    columns = {v for v in ids if special_tokens != "exclude" or v not in special}
    rows = []
    for p in decoded:
        ranked = sorted(range(len(p)), key=lambda v: (-p[v], v))[:tau]
        row = {v: p[v] for v in ranked if v in columns}
        if normalise == "input" and row:
            total = sum(row.values())
            row = {v: share / total for v, share in row.items()}
        rows.append(row)
    return rows


def scores(received: Dict[int, float], ids: List[int], special: set, special_tokens: str) -> List[float]:
    return [
        0.0 if special_tokens != "keep" and v in special else received.get(v, 0.0) / ids.count(v) for v in ids
    ]


def decoded_layer_scores(
    s: List[float], a: List[Dict[int, float]], ids: List[int], special: set, special_tokens: str
) -> List[float]:
    received: Dict[int, float] = {}
    for weight, row in zip(s, a):
        for v, share in row.items():
            received[v] = received.get(v, 0.0) + weight * share
    return scores(received, ids, special, special_tokens)


def projected_gradient_scores(
    gradient: torch.Tensor,
    output_embeddings: torch.Tensor,
    a: List[Dict[int, float]],
    ids: List[int],
    special: set,
    special_tokens: str,
) -> List[float]:
    u = (gradient.double() @ output_embeddings.double().t()).tolist()
    received: Dict[int, float] = {}
    for n, row in enumerate(a):
        for v, share in row.items():
            received[v] = received.get(v, 0.0) + share * u[n][v]
    return scores(received, ids, special, special_tokens)
