"""One self-contained HTML page from explanations, from the coherence of layers, or from a comparison."""

import base64
import gzip
import io
import json
import os
from itertools import islice
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.reports import comparison_tables, layers_table, summary_tables
from allennlp_layer_saliency.reports.explanations import (
    Text,
    compact,
    of_comparison,
    read,
    source_name,
)
from allennlp_layer_saliency.runs.folder import MANIFEST, read_run
from allennlp_layer_saliency.version import VERSION

SUMMARY = "summary.json"
# Of a whole data set's run; a browser has to hold them.
TEXTS = 1000


def page(paths: Sequence[str]) -> str:
    """
    # Parameters

    paths : `Sequence[str]`
        A folder that `allennlp saliency layers`, `compare`, `summary` or `run` wrote; or files that `allennlp
        predict --predictor saliency` wrote, one for each interpreter, of the same inputs. A summary's folder
        may stand beside the run, or the files, that it is of.

    # Raises

    `ConfigurationError`
        If they are nothing of the kind.
    """
    for path in paths:
        if not os.path.exists(path):
            raise ConfigurationError(f"no file or folder {path}")
    summaries = [path for path in paths if os.path.exists(os.path.join(path, SUMMARY))]
    if len(summaries) == 1 and len(paths) > 1:
        others = [path for path in paths if path not in summaries]
        return _of_summary(summaries[0], others)
    folders = [path for path in paths if os.path.isdir(path)]
    if folders and len(paths) > 1:
        raise ConfigurationError(
            "one folder, or several files of explanations, can be shown at a time, and a summary beside them"
        )
    if folders:
        return _of_folder(folders[0])
    return _rendered(", ".join(map(source_name, paths)), data=compact(_texts_of(paths)))


def _texts_of(paths: Sequence[str]) -> Dict[str, List[Text]]:
    """What a run's folder has of its first texts, or files, by interpreter."""
    if len(paths) == 1 and os.path.exists(os.path.join(paths[0], MANIFEST)):
        return _of_first_texts(paths[0])[0]
    files: Dict[str, List[Text]] = {}
    for path in paths:
        name = source_name(path)
        # Files of one name in different folders are told apart by their paths.
        files[path if name in files else name] = list(read(path))
    return files


def _of_summary(folder: str, texts: Sequence[str] = ()) -> str:
    """The data set at a glance; with its texts, each word is a link to those with it."""
    summarised = _results(os.path.join(folder, SUMMARY)) or {}
    counts = summarised.get("interpreters", {summarised["interpreter"]: summarised})
    notes = [f"{name}: {of['texts']:,} texts" for name, of in counts.items()]
    found = summary_tables.read(summarised)
    plot = summary_tables.figure(found)
    figures = {} if plot is None else {"words for and against each class": plot}
    data = None
    if texts:
        files = _texts_of(texts)
        data = compact(files)
        if max(map(len, files.values()), default=0) == TEXTS:
            notes.append(f"the first {TEXTS:,} texts are below")
    title = os.path.basename(os.path.abspath(folder))
    return _rendered(title, notes, summary_tables.for_page(found, linked=bool(texts)), figures, data)


def to_html(explanations: Mapping[str, Sequence[JsonDict]], title: str = "Explanations") -> str:
    """
    # Parameters

    explanations : `Mapping[str, Sequence[JsonDict]]`
        By the interpreters' names. Outputs of the `saliency` predictor, in the inputs' order.
    title : `str`

    # Returns

    `str`
        A page that needs neither network nor other files.
    """
    files = {
        name: [Text(number, line) for number, line in enumerate(lines, start=1)]
        for name, lines in explanations.items()
    }
    return _rendered(title, data=compact(files))


def _of_folder(folder: str) -> str:
    title = os.path.basename(os.path.abspath(folder))
    layers, compared = (_results(os.path.join(folder, name)) for name in ("layers.json", "comparison.json"))
    if layers is not None:
        tables = [
            {
                "caption": f"Semantic coherence of the layers {head}".strip(),
                "columns": [
                    "layer",
                    *(t.format(tau=layers["tau"]) for t in layers_table.TITLES.values()),
                ],
                "rows": [
                    [
                        str(entry["layer"]),
                        *(layers_table.cell(entry, m) for m in layers_table.TITLES),
                    ]
                    for entry in entries
                ],
            }
            for head, entries in layers_table.heads(layers).items()
        ]
        notes = [
            f"{layers['texts']:,} texts; ± half the 95 % bootstrap interval",
            f'layer: "auto" stands for {layers["chosen"]}',
            *_made_of(layers, "layers"),
        ]
        figure = layers_table.figure(layers)
        return _rendered(title, notes, tables, {} if figure is None else {"coherence over layers": figure})
    if compared is not None:
        found = comparison_tables.table(compared, comparison_tables.metrics_of(compared))
        tables = [
            {
                "caption": "Interpreters, the best first",
                "columns": ["interpreter", *found.columns],
                "rows": [[str(row), *values] for row, values in found.iterrows()],
            }
        ]
        examples = os.path.join(folder, "examples.jsonl")
        data = compact(of_comparison(list(read(examples)))) if os.path.exists(examples) else None
        notes = [comparison_tables.note(compared), *_made_of(compared, "compare")]
        return _rendered(title, notes, tables, comparison_tables.figures(compared) or {}, data)
    if os.path.exists(os.path.join(folder, SUMMARY)):
        return _of_summary(folder)
    if os.path.exists(os.path.join(folder, MANIFEST)):
        return _of_run(folder, title)
    raise ConfigurationError(
        f"{folder} holds neither layers.json nor comparison.json nor summary.json nor {MANIFEST}; make it "
        "with allennlp saliency layers, compare, summary or run, or name a file of explanations"
    )


def _of_run(folder: str, title: str) -> str:
    files, more = _of_first_texts(folder)
    notes = _made_of(_results(os.path.join(folder, MANIFEST)) or {}, "run")
    return _rendered(title, notes + more * [f"the first {TEXTS:,} texts"], data=compact(files))


def _of_first_texts(folder: str) -> Tuple[Dict[str, List[Text]], int]:
    """A run's first texts by interpreter, and how many interpreters have explained more."""
    files: Dict[str, List[Text]] = {}
    more = 0
    for name, lines in read_run(folder).items():
        files[name] = [Text(n, line) for n, line in enumerate(islice(lines, TEXTS), start=1)]
        more += next(lines, None) is not None
    return files, more


def _made_of(results: JsonDict, command: str) -> List[str]:
    """The command, the model, the data and the settings that results were made with, in words."""
    model, config = results.get("model"), results.get("config")
    if not isinstance(model, dict) or not isinstance(config, dict):
        return []
    said = [
        f"allennlp saliency {command}",
        f"model: {model.get('archive_file')} (SHA-256 {str(model.get('sha256'))[:12]})",
    ]
    data = config.get("data")
    if isinstance(data, dict):
        said.append(f"texts: {data.get('path')}")
    said.append(f"seed: {results.get('seed')}")
    notes = [", ".join(said)]
    for name, settings in dict(config.get("interpreters") or {}).items():
        notes.append(f"{name}: {json.dumps(settings)}")
    return notes


def _results(path: str) -> Optional[JsonDict]:
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise ConfigurationError(f"{path} is not valid JSON: {error}") from error


def _rendered(
    title: str,
    notes: Sequence[str] = (),
    tables: Sequence[JsonDict] = (),
    figures: Optional[Dict[str, Any]] = None,
    data: Optional[JsonDict] = None,
) -> str:
    return rendered_template(
        "page.html",
        title=title,
        notes=notes,
        tables=tables,
        figures=[{"alt": name, "data": _svg(figure)} for name, figure in (figures or {}).items()],
        data=None if data is None else _packed(data),
        made_by=f"allennlp-layer-saliency {VERSION}",
    )


def rendered_template(name: str, **values: Any) -> str:
    """
    A file of templates/, with values in their places, escaped.

    # Raises

    `ConfigurationError`
        If jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ConfigurationError(
            "a page needs jinja2: pip install 'allennlp-layer-saliency[report]'"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("allennlp_layer_saliency.reports"), autoescape=True
    )
    return environment.get_template(name).render(**values)


def _packed(data: JsonDict) -> str:
    """Letters and digits only: nothing that came from a text or a model is markup here."""
    content = json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _svg(figure: Any) -> str:
    found = io.StringIO()
    figure.savefig(found, format="svg", metadata={"Date": None})
    return base64.b64encode(found.getvalue().encode()).decode()


def write(paths: List[str], output: str, force: bool = False) -> None:
    """
    Write the page of `paths` to a file.

    # Raises

    `ConfigurationError`
        If the file exists and is not to be replaced, or `page` raises it.
    """
    if os.path.exists(output) and not force:
        raise ConfigurationError(f"{output} exists; choose another name, or give --force")
    text = page(paths)
    with open(output, "w", encoding="utf-8") as file:
        file.write(text)
    size = len(text.encode())
    print(f"{output}: {size / 1e6:,.1f} MB" if size >= 1e6 else f"{output}: {size / 1e3:,.0f} kB")
