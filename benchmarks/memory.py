"""
Peak memory of one call above the loaded model, in a process of its own:

    python -m benchmarks.memory FOLDER forward|decoded

prints MiB. FOLDER holds the language model of `benchmarks.models`. Linux only.
"""

import ctypes
import gc
import sys

import torch
from allennlp.data.batch import Batch

from benchmarks.explainers import BATCH, decoded
from benchmarks.models import classifier, texts

LENGTH, COUNT = 128, 32


def status(field: str) -> float:
    with open("/proc/self/status") as lines:
        (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    folder, what = sys.argv[1:]
    torch.set_num_threads(2)
    predictor = classifier(folder)
    interpreter = decoded(predictor, aggregation={"type": "grad-cam"}, **BATCH)
    lines = texts([LENGTH] * COUNT)
    instances = [predictor._json_to_instance(line) for line in lines]
    for instance in instances:
        predictor._dataset_reader.apply_token_indexers(instance)
        instance.index_fields(predictor._model.vocab)
    tensors = Batch(instances).as_tensor_dict()
    gc.collect()
    # What loading has freed is given back, so that it does not hide what the call needs.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew
    before = status("VmRSS")
    if what == "forward":
        with torch.no_grad():
            predictor._model(**tensors)
    else:
        interpreter.saliency_interpret_batch_json(lines)
    print(round(status("VmHWM") - before))


if __name__ == "__main__":
    main()
