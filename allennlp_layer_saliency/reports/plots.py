"""
Plots of explanations and comparisons, with matplotlib (`pip install ".[report]"`):

    plots.token_bars(explanation["instance_1"])
    plots.layer_heat_map(explanation["instance_1"])
    plots.curves(json.load(open("OUT/comparison.json"))["rows"], "deletion_auc")

Each draws on the `axes` it is given, or on new ones, and returns them.
"""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.core.faithfulness import RATIOS
from allennlp_layer_saliency.display import (
    MIDDLE,
    NEGATIVE,
    POSITIVE,
    colours,
    described,
    plain,
    token_names,
)
from allennlp_layer_saliency.output_line import InstanceScores, instance_scores
from allennlp_layer_saliency.reports.explanations import decoded_of_tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = {
    "deletion_auc": "probability after deletion",
    "insertion_auc": "probability after insertion",
    "accuracy_after_deletion": "accuracy after deletion",
}


def token_bars(explanation: JsonDict, layer: Optional[int] = None, axes: Optional["Axes"] = None) -> "Axes":
    """
    A bar for each token, as high as its score: signed where there are signs, else absolute.

    # Parameters

    explanation : `JsonDict`
        An instance of an explanation, such as its `"instance_1"`.
    layer : `int`, optional
        Of an explanation of several layers, which. None: the mean over them.
    axes : `matplotlib.axes.Axes`, optional

    # Returns

    `matplotlib.axes.Axes`

    # Raises

    `ConfigurationError`
        If there is no such layer, or it is not an instance of an explanation.
    """
    instance = _instance(explanation)
    entry = instance if layer is None else _at(instance, layer)
    tokens = _names(instance)
    heights = [score for text in entry.texts for score in text.scores]
    if axes is None:
        axes = _new_axes(0.3 * len(tokens) + 1, 3)
    largest = max(map(abs, heights), default=0.0) or 1.0
    ends = [colours(height / largest)[1] for height in heights]
    axes.bar(range(len(tokens)), heights, color=ends, edgecolor="#808080", linewidth=0.5)
    axes.axhline(0, color="#808080", linewidth=0.8)
    _name_tokens(axes, tokens)
    axes.set_ylabel("score" if entry.signed else "absolute score")
    parts = [] if entry.target is None else [described(entry.target)]
    parts += [] if entry.layer is None else [f"layer {entry.layer}"]
    axes.set_title(verbatim(", ".join(parts)), fontsize="medium")
    return axes


def layer_heat_map(explanation: JsonDict, axes: Optional["Axes"] = None) -> "Axes":
    """
    A cell for each layer and token, coloured by score, with the token that it decodes to if there is one.

    Scores of layers differ in size: each layer's are divided by its largest.

    # Parameters

    explanation : `JsonDict`
        An instance of an explanation, such as its `"instance_1"`.
    axes : `matplotlib.axes.Axes`, optional

    # Returns

    `matplotlib.axes.Axes`

    # Raises

    `ConfigurationError`
        If it is not an instance of an explanation of layers.
    """
    instance = _instance(explanation)
    tokens, layers = _names(instance), _layers(instance)
    if axes is None:
        axes = _new_axes(0.6 * len(tokens) + 2, 0.35 * len(layers) + 1.2)
    from matplotlib.colors import LinearSegmentedColormap

    shares = []
    for row, entry in enumerate(layers):
        own = [score for text in entry.texts for score in text.scores]
        largest = max(map(abs, own), default=0.0) or 1.0
        shares.append([score / largest for score in own])
        for column, items in enumerate(decoded_of_tokens(entry)):
            if items:
                ink, _ = colours(shares[row][column])
                word = verbatim(plain(items[0]["token"]))
                axes.text(column, row, word, color=ink, ha="center", va="center", fontsize=7)
    ends = [[value / 255 for value in colour] for colour in (NEGATIVE, MIDDLE, POSITIVE)]
    image = axes.imshow(
        shares,
        cmap=LinearSegmentedColormap.from_list("saliency", ends),
        vmin=-1,
        vmax=1,
        aspect="auto",
        origin="lower",
    )
    axes.figure.colorbar(image, ax=axes, label="score / layer's largest")
    _name_tokens(axes, tokens)
    axes.set_yticks(range(len(layers)), [str(entry.layer) for entry in layers])
    axes.set_ylabel("layer")
    return axes


def curves(rows: Dict[str, Dict[str, Any]], metric: str, axes: Optional["Axes"] = None) -> "Axes":
    """
    The mean of a metric, with its interval, as ever more of the tokens are deleted or inserted: a line for
    each row that has it.

    # Parameters

    rows : `Dict[str, Dict[str, Any]]`
        The `rows` of comparison.json, in the order of the legend.
    metric : `str`
        "deletion_auc", "insertion_auc" or "accuracy_after_deletion".
    axes : `matplotlib.axes.Axes`, optional
        With new ones comes a legend; a caller's axes have the labels for one.

    # Returns

    `matplotlib.axes.Axes`

    # Raises

    `ConfigurationError`
        If no row has the metric.
    """
    measured = [name for name in CURVES if any(name in values for values in rows.values())]
    if metric not in measured:
        raise ConfigurationError(
            f"metric: there is no curve of {metric!r}; there are {', '.join(measured) or 'none'}"
        )
    own = axes is None
    if axes is None:
        axes = _new_axes(6, 4.2)
    for i, (row, values) in enumerate(rows.items()):
        if metric not in values:
            continue
        points = [values[f"{metric}@{ratio}"] for ratio in RATIOS]
        (line,) = axes.plot(
            RATIOS,
            [point["mean"] for point in points],
            # Colours alone are not told apart by everybody.
            ("-", "--", ":", "-.")[i % 4],
            label=verbatim(row),
            linewidth=1.2,
        )
        low = [point["mean"] if point["low"] is None else point["low"] for point in points]
        high = [point["mean"] if point["high"] is None else point["high"] for point in points]
        axes.fill_between(RATIOS, low, high, alpha=0.12, color=line.get_color(), linewidth=0)
    axes.set_title(CURVES[metric])
    axes.set_xlabel("% of the tokens")
    axes.set_ylim(0, 1)
    if own:
        axes.legend(fontsize="small")
    return axes


def verbatim(text: str) -> str:
    """Without matplotlib taking part of it for a formula, or leaving it out of a legend."""
    escaped = text.replace("$", r"\$")
    # A label that starts with an underscore is kept out of legends; this has no width.
    return f"\u200b{escaped}" if escaped.startswith("_") else escaped


def _instance(explanation: JsonDict) -> InstanceScores:
    instance = instance_scores(explanation)
    if not instance.texts or not all(text.tokens for text in instance.texts):
        raise ConfigurationError(
            'explanation: an instance with grad_input_1 and tokens_1 is wanted, such as "instance_1" of an '
            f"explanation; got one with {', '.join(explanation) or 'nothing'}"
        )
    return instance


def _names(instance: InstanceScores) -> List[str]:
    return [name for text in instance.texts for name in token_names(text)]


def _layers(instance: InstanceScores) -> Sequence[InstanceScores]:
    if any(entry.layer is None for entry in instance.layers):
        raise ConfigurationError(
            "explanation: one of layers is wanted, as decoded-layer-saliency gives; this one names none"
        )
    return instance.layers


def _at(instance: InstanceScores, layer: int) -> InstanceScores:
    known = {entry.layer: entry for entry in _layers(instance)}
    if layer not in known:
        raise ConfigurationError(f"layer: {layer} is not explained here; {', '.join(map(str, known))} are")
    return known[layer]


def _name_tokens(axes: "Axes", tokens: List[str]) -> None:
    axes.set_xticks(range(len(tokens)), [verbatim(token) for token in tokens], rotation=90)
    axes.set_xlim(-0.5, len(tokens) - 0.5)


def _new_axes(width: float, height: float) -> "Axes":
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ConfigurationError(
            "a plot needs matplotlib: pip install 'allennlp-layer-saliency[report]'"
        ) from error
    size: Tuple[float, float] = (max(4.0, width), max(2.0, height))
    _, axes = pyplot.subplots(figsize=size, constrained_layout=True)
    return axes
