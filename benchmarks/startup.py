"""
What the time from the start of Python to the first explanation of the bundled model consists of:

    python -m benchmarks.startup

prints seconds as JSON. To be run in the repository's root.
"""

import json
import time

start = time.perf_counter()
parts = {}


def lap(name: str) -> None:
    global start
    now = time.perf_counter()
    parts[name] = now - start
    start = now


import allennlp.interpret  # noqa: E402
import allennlp.models  # noqa: E402
import allennlp.predictors  # noqa: E402
import allennlp_models.lm  # noqa: E402, F401

lap("import AllenNLP, its models, transformers and torch")
import allennlp_layer_saliency  # noqa: E402, F401

lap("import allennlp_layer_saliency (ours)")
from allennlp.common import Params  # noqa: E402
from allennlp.common.plugins import import_plugins  # noqa: E402
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter  # noqa: E402

import_plugins()
lap("AllenNLP's search for plugins")
predictor = allennlp.predictors.Predictor.from_path("fixtures/sst2-classifier.tar.gz")
lap("load the archive (AllenNLP)")
interpreter = SaliencyInterpreter.from_params(Params({"type": "decoded-layer-saliency"}), predictor=predictor)
lap("make the interpreter, its LM head read from disk (ours)")
interpreter.saliency_interpret_from_json({"sentence": "the story is not good ."})
lap("first explanation (ours)")
print(json.dumps(parts))
