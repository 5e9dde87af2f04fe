"""The bundled classifier's scores by every ready configuration, which all versions must agree on.

`python -m tests.bundled_scores`, with AllenNLP's own versions (Python 3.8 to 3.10), writes
bundled_scores.json; the tests compare it with what any other versions give.

AllenNLP's smooth-gradient is left out: the sum over an embedding's hidden units that it takes is 0 but
for rounding errors, where a layer norm follows. So are greedy rankings, which rounding may turn.
"""

import json
from typing import Dict, List

from allennlp.predictors import Predictor

import allennlp_layer_saliency  # noqa: F401
from tests.conftest import ROOT

PATH = ROOT / "tests" / "bundled_scores.json"
CONFIGURATIONS = sorted(
    path
    for path in (ROOT / "training_configs" / "saliency").glob("*.jsonnet")
    if path.stem != "smooth_gradient" and not path.stem.startswith("greedy")
)
SENTENCES = ROOT / "fixtures" / "sentences.jsonl"


def scores(configuration: str) -> List[Dict[str, List[float]]]:
    """For each sentence the model's `logits`, `grad_input_1` and, where there are any, `signed_1`."""
    predictor = Predictor.from_path(
        str(ROOT / "fixtures" / "sst2-classifier.tar.gz"),
        predictor_name="saliency",
        interpreter=configuration,
    )
    lines = [json.loads(line) for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    found = []
    for output in predictor.predict_batch_json(lines):
        instance = output["saliency"]["instance_1"]
        entries = {"logits": output["logits"]}
        # Of several layers, the last one's.
        entries.update(instance.get("layers", [instance])[-1])
        found.append(
            {
                key: [round(value, 7) for value in entries[key]]
                for key in ("logits", "grad_input_1", "signed_1")
                if key in entries
            }
        )
    return found


if __name__ == "__main__":
    every = {path.stem: scores(str(path)) for path in CONFIGURATIONS}
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in every.items())
    PATH.write_text(f"{{\n{rows}\n}}\n")
