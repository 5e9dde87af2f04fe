"""What `allennlp saliency summary` found: files, tables on screen, and a plot."""

import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional

import pandas
from allennlp.common.util import JsonDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from allennlp_layer_saliency.display import colours
from allennlp_layer_saliency.reports import plots
from allennlp_layer_saliency.results_folder import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# By interpreter and name.
Tables = Dict[str, Dict[str, pandas.DataFrame]]

# Words on screen and in the plot, for and against each class.
SHOWN = 8
TITLES = {
    "words": "Words for (+) and against (-) each class",
    "unseen": "Decoded words that are in no text",
    "confusions": "Words that speak for a wrong class",
    "suspects": "Suspects: words that the model relies on and that have one label",
}


def write(found: Tables, counts: JsonDict, settings: JsonDict, folder: str) -> List[str]:
    """Write summary.json, a CSV of each table and, with matplotlib, summary.png; the files' paths."""
    written = [os.path.join(folder, "summary.json")]
    contents = {name: {**counts[name], **_content(of_name)} for name, of_name in found.items()}
    first = next(iter(contents))
    content = {"settings": settings, "interpreter": first, **contents[first]}
    if len(contents) > 1:
        content["interpreters"] = contents
    write_json(written[0], content)
    for title in TITLES:
        together = [
            of_name[title].drop(columns="examples").assign(interpreter=name)
            for name, of_name in found.items()
        ]
        path = os.path.join(folder, f"{title}.csv")
        pandas.concat(together).round(6).to_csv(path, index=False)
        written.append(path)
    plot = figure(found)
    if plot is not None:
        written.append(os.path.join(folder, "summary.png"))
        plot.savefig(written[-1], dpi=150)
    return written


def _content(of_name: Dict[str, pandas.DataFrame]) -> JsonDict:
    """
    `classes`: for each label what is `for` it and `against` it, the strongest first, and `decoded`; `errors`,
    words that speak for a wrong class; `suspects`.
    """
    classes: JsonDict = {}
    words, unseen = of_name["words"], of_name["unseen"]
    for label in sorted({*words["class"], *unseen["class"]}):
        own = words[words["class"] == label].drop(columns="class")
        classes[label] = {
            "for": _records(own[own["mean"] > 0]),
            "against": _records(own[own["mean"] < 0][::-1]),
            "decoded": _records(unseen[unseen["class"] == label].drop(columns="class")),
        }
    return {
        "classes": classes,
        "errors": _records(of_name["confusions"]),
        "suspects": _records(of_name["suspects"]),
    }


def _records(table: pandas.DataFrame) -> List[JsonDict]:
    """Rows as JSON has them: six digits after the point, and no NaN."""
    rounded = table.round(6).astype(object)
    return rounded.where(rounded.notna(), None).to_dict("records")


def read(content: JsonDict) -> Tables:
    """The tables, from what summary.json holds."""
    contents = content.get("interpreters", {content["interpreter"]: content})
    return {name: _tables(of_name) for name, of_name in contents.items()}


def _tables(content: JsonDict) -> Dict[str, pandas.DataFrame]:
    words: List[JsonDict] = []
    unseen: List[JsonDict] = []
    for label, of_class in content["classes"].items():
        words += [{"class": label, **row} for row in [*of_class["for"], *of_class["against"][::-1]]]
        unseen += [{"class": label, **row} for row in of_class["decoded"]]
    found = {
        "words": words,
        "unseen": unseen,
        "confusions": content["errors"],
        "suspects": content["suspects"],
    }
    return {title: pandas.DataFrame(rows) for title, rows in found.items() if rows}


def for_page(found: Tables, linked: bool = False) -> List[JsonDict]:
    """
    Tables of texts, each word with a text in which it scores most, as the page's template wants them;
    `linked` where the texts are on the page too.
    """
    tables = []
    for name, of_name in found.items():
        for title, table in of_name.items():
            shown = _first(title, table)
            examples = [each[0]["text"] if each else "" for each in shown["examples"]]
            shown = shown.drop(columns=["layer", "examples"]).assign(example=examples)
            tables.append(
                {
                    "caption": f"{name}: {TITLES[title]}",
                    "columns": list(shown.columns),
                    "linked": "word" if linked and title != "unseen" else None,
                    "rows": [[_cell(value) for value in row] for row in shown.itertuples(index=False)],
                }
            )
    return [table for table in tables if table["rows"]]


def _first(title: str, table: pandas.DataFrame) -> pandas.DataFrame:
    """Of a table's lowest layer the rows that are shown."""
    layers = table["layer"].dropna()
    if len(layers):
        table = table[table["layer"] == layers.min()]
    if title == "suspects":
        return table[table["score"] > 0].head(SHOWN)
    return ends(table, [column for column in ("class", "gold", "predicted") if column in table])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3g}"
    return str(value)


def ends(table: pandas.DataFrame, groups: List[str]) -> pandas.DataFrame:
    """The highest and the lowest rows of each group, as many as are shown, those above and below 0."""
    kept = []
    for _, rows in table.groupby(groups, dropna=False, sort=True):
        kept.append(rows[rows["mean"] > 0].head(SHOWN))
        kept.append(rows[rows["mean"] < 0].tail(SHOWN))
    return pandas.concat(kept) if kept else table


def show(found: Tables, counts: JsonDict) -> None:
    """The first of each table, at the lowest layer that is explained."""
    console = Console()
    for name, of_name in found.items():
        for title, table in of_name.items():
            table = _first(title, table).drop(columns=["layer", "examples"])
            if len(table):
                console.print(_on_screen(f"{name}: {TITLES[title]}", table))
        errors = counts[name]["unexplained"]
        note = f"{name}: {counts[name]['texts']:,} texts" + (f", {errors:,} without" if errors else "")
        console.print(note, highlight=False, markup=False)


def _on_screen(title: str, table: pandas.DataFrame) -> Table:
    shown = Table(title=Text(title), box=None, title_justify="left")
    for column in table.columns:
        shown.add_column(column, justify="right" if table[column].dtype != object else "left")
    for row in table.itertuples(index=False):
        shown.add_row(*(Text(_cell(value)) for value in row))
    return shown


def figure(found: Tables) -> Optional["Figure"]:
    """For each interpreter and class the words with the highest and lowest means; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    panels: List[Any] = []
    for name, of_name in found.items():
        if "words" in of_name:
            words = _first("words", of_name["words"])
            panels += [(name, label, rows) for label, rows in words.groupby("class")]
    if not panels:
        return None
    tallest = max(len(rows) for *_, rows in panels)
    made = Figure(figsize=(4 * len(panels), 0.22 * tallest + 1.2), constrained_layout=True)
    for axes, (name, label, rows) in zip(made.subplots(1, len(panels), squeeze=False)[0], panels):
        rows = rows[::-1]
        error = (rows["high"] - rows["mean"]).fillna(0)
        ends = [colours(1.0 if mean > 0 else -1.0)[1] for mean in rows["mean"]]
        axes.barh(range(len(rows)), rows["mean"], xerr=error, color=ends, ecolor="#808080")
        axes.set_yticks(range(len(rows)), [plots.verbatim(word) for word in rows["word"]], fontsize=8)
        axes.set_title(plots.verbatim(f"{name}: {label}"), fontsize="medium")
        axes.set_xlabel("mean score where it occurs")
    return made
