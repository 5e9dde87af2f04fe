"""Writes docs/models.md from the conformance table: `python -m tests.conformance.document`."""

from itertools import groupby
from pathlib import Path

from allennlp_layer_saliency.interpreters.targets import REFUSED
from tests.conformance.rows import ROWS

PATH = Path(__file__).parents[2] / "docs" / "models.md"

HEAD = """\
# What is supported

Each row below is a tiny model with random weights that
[tests/conformance](../tests/conformance) runs through the same list of invariants, with
`decoded-layer-saliency`, `projected-gradient-saliency` and `layer-saliency`:

- a score for each token of each text, finite, `grad_input_1` summing to 1;
- the scores sum to the derivative of the explained score as the layer's state is scaled, by finite
  differences;
- batched equals single, whatever the order and the padding;
- the same input gives the same bytes;
- hooks, `requires_grad` flags, parameter gradients, metrics, training mode and random number
  generators are as they were, after success and after an exception in the middle.

`python -m tests.conformance.document` writes this page from that table.
"""

TAIL = """
## What is explained

| model | the explained score | `target_class` |
|---|---|---|
| classifiers | logit of the predicted class | label or index |
| the same, any number of labels | logit of each predicted label; of the most probable one where none is | label or index |
| the same, regression | each output | output by name or index |
| `simple_tagger`, `crf_tagger`, `huggingface-tagger` | logits (of a CRF: emissions) of a predicted span's tags, summed; no span gives `{}` | |
| `transformer_qa` | logits of the start (`instance_1`) and the end (`instance_2`) of the best answer | |
| `coref` | score of each predicted link of a mention to its antecedent, "no antecedent" having 0, among the mentions and antecedents that the model keeps for the text as it is; no link gives `{}`. (AllenNLP's own explain the loss of a whole cluster.) | |
| `masked_language_model` | logit of the most probable word piece at each mask | word piece or index |
| `next_token_lm` | logit of the most probable next word piece | word piece or index |

A model of another class is explained as a classifier if its output has `logits` or `label_logits` of
shape (batch, classes). `target: "log-probability"` takes each logit's log-softmax over its classes (over
the positions, for `transformer_qa`; over the antecedents, for `coref`; of a classifier of any number of labels it is the label's own log-sigmoid; a
regression has none) in place of the logit. With `contrast_class`, where `target_class`
is allowed, that class's score is subtracted.

`target` also takes a score of your own, registered in a module that `--include-package` names:

```python
from allennlp_layer_saliency.interpreters import Target


@Target.register("margin")
class Margin(Target):
    # How far the most probable class's logit is ahead of the next one's.
    def score(self, outputs):
        # Shape: (batch, 2)
        best = outputs["logits"].topk(2).values
        return best[:, 0] - best[:, 1]
```

Then `target: "margin"`, or `target: {type: "margin", ...}` with arguments of its constructor, explains it,
with one `instance_1` for each input; its `label` and `kind` are the registered name. From Python an
object does as well: `target=Margin()`. `score` must be a differentiable function of `outputs`, what the model's `forward`
returns, and an instance's score may depend on that instance only.

Several texts of an instance are numbered in the order of its fields, and explained together: a position
of one may give saliency to word pieces of another. Each text's `grad_input_k` sums to 1.

## What is refused

With one line that says so:

- {refused};
- AllenNLP's own T5 and transformer toolkit, which are not Hugging Face's modules;
- an architecture that is neither known nor recognised: a recognised one has a list of blocks whose
  outputs are the model's own `hidden_states` (where the model scales the words' vectors
  or adds positions outside of any module, as Gemma and OPT do, layer 0 is the words' vectors alone);
- an LM head whose weights are not in the checkpoint, or that is made for another hidden size or
  vocabulary than the classifier's; `projected-gradient-saliency` also where the head's output embeddings
  have another size than the hidden states (ALBERT, ELECTRA);
- a text without a word, or longer than the model has positions where the embedder does not fold;
- float16, or `autocast`, on a CPU with torch 1.
"""


def document() -> str:
    parts = [HEAD]
    for group, rows in groupby(ROWS, key=lambda row: row.group):
        parts.append(f"\n## {group}\n\n| | |\n|---|---|\n")
        parts.extend(f"| {row.name} | {row.note} |\n" for row in rows)
    families = ";\n- ".join(f"`{module}` ({what})" for module, what in REFUSED.items())
    return "".join([*parts, TAIL.replace("{refused}", families)])


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")
