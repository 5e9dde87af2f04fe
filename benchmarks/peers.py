"""
What other tools make of the same classifier and texts, each called as its own documentation calls it:

    python -m benchmarks.peers folder ARCHIVE FOLDER
    python benchmarks/peers.py explain FOLDER TEXTS OUT

The first line, in this package's environment, turns an archive of training_configs/classifier.libsonnet over
a BERT into a Hugging Face folder, which the tools open. The second, in an environment of
requirements/peers.txt, writes OUT/NAME.jsonl for each of them, which the interpreter "scores-file" reads,
and OUT/seconds.csv (text, tool, seconds), as it goes: the same line goes on with what is there. TEXTS are
JSON lines with a `sentence`. training_configs/compare/peers.jsonnet compares them with ours. Inseq is not
among them: it takes models that generate text, and no classifiers.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

# From a text and its predicted class to a score for each word piece, special tokens included.
Explain = Callable[[str, int], List[float]]


def folder(archive: str, folder: str) -> None:
    """The same classifier under the names of `BertForSequenceClassification`."""
    import torch
    from allennlp.common.plugins import import_plugins
    from allennlp.models.archival import load_archive
    from transformers import AutoTokenizer, BertForSequenceClassification

    import_plugins()
    loaded = load_archive(archive)
    model = loaded.model.eval()
    encoder = model._text_field_embedder.token_embedder_tokens.transformer_model
    labels = model.vocab.get_index_to_token_vocabulary("labels")
    encoder.config.update({"id2label": labels, "label2id": {v: k for k, v in labels.items()}})
    classifier = BertForSequenceClassification(encoder.config).eval()
    classifier.bert.load_state_dict(encoder.state_dict(), strict=False)
    dense, output = model._feedforward._linear_layers[0], model._classification_layer
    with torch.no_grad():
        for own, other in ((classifier.bert.pooler.dense, dense), (classifier.classifier, output)):
            own.weight.copy_(other.weight)
            own.bias.copy_(other.bias)
    name = loaded.config["dataset_reader"]["tokenizer"]["model_name"]
    tokenizer = AutoTokenizer.from_pretrained(name)
    encoded = tokenizer("the same, in other words", return_tensors="pt")
    tokens = {"token_ids": encoded["input_ids"], "mask": encoded["attention_mask"].bool()}
    with torch.no_grad():
        theirs = model({"tokens": {**tokens, "type_ids": encoded["token_type_ids"]}})["logits"]
        assert torch.allclose(classifier(**encoded).logits, theirs, atol=1e-4)
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # Whose head decodes: recent versions of transformers keep it in the model card only.
    (Path(folder) / "README.md").write_text(f"---\nbase_model: {json.dumps(name)}\n---\n", encoding="utf-8")


def tools(model: Any, tokenizer: Any) -> Dict[str, Explain]:
    """With the settings that each tool has of itself."""
    import shap
    import torch
    from ferret import Benchmark
    from transformers import pipeline
    from transformers_interpret import SequenceClassificationExplainer

    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    names = model.config.id2label
    partition = shap.Explainer(classify, silent=True)
    sequence = SequenceClassificationExplainer(model, tokenizer)

    def by_shap(text: str, label: int) -> List[float]:
        values = partition([text])
        return values.values[0][:, list(values.output_names).index(names[label])].tolist()

    def by_transformers_interpret(text: str, label: int) -> List[float]:
        return [score for _, score in sequence(text, index=label)]

    def by_ferret(explainer: Any) -> Explain:
        benchmark = Benchmark(model, tokenizer, explainers=[explainer])

        def explain(text: str, label: int) -> List[float]:
            (explanation,) = benchmark.explain(text, target=label, show_progress=False)
            return torch.as_tensor(explanation.scores).tolist()

        return explain

    # Its first is SHAP's Partition.
    of_ferret = {explainer.NAME: explainer for explainer in Benchmark(model, tokenizer).explainers[1:]}
    return {
        "SHAP, Partition": by_shap,
        "transformers-interpret": by_transformers_interpret,
        **{f"ferret, {name}": by_ferret(explainer) for name, explainer in of_ferret.items()},
    }


def explain(folder: str, texts: str, out: str) -> None:
    import numpy
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    known = tools(model, tokenizer)
    lines = Path(texts).read_text(encoding="utf-8").strip().split("\n")
    sentences = [json.loads(line)["sentence"] for line in lines]
    Path(out).mkdir(parents=True, exist_ok=True)
    files = {name: Path(out) / f"{name}.jsonl" for name in known}
    seconds = Path(out) / "seconds.csv"
    # A text's seconds are written when all of its scores are: what was cut off comes again.
    done = len(_lines(seconds)) // len(known)
    for path, kept in [(seconds, done * len(known)), *((path, done) for path in files.values())]:
        path.write_text("".join(_lines(path)[:kept]), encoding="utf-8")
    for explained in known.values():
        explained(sentences[0], 0)  # what the first call alone takes
    for number, text in enumerate(sentences[done:], start=done):
        encoded = tokenizer(text, return_tensors="pt")
        tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"][0].tolist())
        with torch.no_grad():
            label = int(model(**encoded).logits.argmax())
        # By the text's number, wherever a run began.
        torch.manual_seed(number)
        numpy.random.seed(number)
        rows = []
        # In turns, so that what else the machine does is shared.
        for name, explained in known.items():
            start = time.perf_counter()
            scores = explained(text, label)
            rows.append((number, name, time.perf_counter() - start))
            assert len(scores) == len(tokens), (name, text, len(scores), len(tokens))
            _append(files[name], json.dumps({"tokens": tokens, "scores": scores}))
        _append(seconds, *(f'{number},"{name}",{taken:.4f}' for number, name, taken in rows))


def _lines(path: Path) -> List[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []


def _append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


COMMANDS: Dict[str, Tuple[Callable[..., None], int]] = {"folder": (folder, 2), "explain": (explain, 3)}

if __name__ == "__main__":
    command, *arguments = sys.argv[1:] or [""]
    if command not in COMMANDS or len(arguments) != COMMANDS[command][1]:
        sys.exit(f"usage: {__doc__}")
    COMMANDS[command][0](*arguments)
