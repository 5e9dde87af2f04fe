"""What is drawn, from explanations and results that are written by hand."""

import builtins

import matplotlib
import pytest
from allennlp.common.checks import ConfigurationError
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from allennlp_layer_saliency.core.faithfulness import RATIOS
from allennlp_layer_saliency.display import colours
from allennlp_layer_saliency.reports import comparison_tables, plots

matplotlib.use("Agg")

TOKENS = ["<s>", "Ġ$x^2$", "_ly"]
SHOWN = ["<s>", "$x^2$", "_ly"]


def layer(index, scores, decoded=()):
    return {
        "layer": index,
        "signed_1": scores,
        "grad_input_1": [abs(score) for score in scores],
        "target": {"label": "a_b$", "kind": "logit", "score": 1.5},
        "sources_1": [[], [], []],
        "decoded_1": [[{"token": token, "probability": 0.5}] for token in decoded] or [[], [], []],
    }


ONE = {"tokens_1": TOKENS, "offsets_1": [None, [0, 5], [5, 8]], **layer(2, [0.0, 2.0, -1.0])}
SEVERAL = {
    "tokens_1": TOKENS,
    "offsets_1": ONE["offsets_1"],
    "grad_input_1": [0.25, 0.25, 0.5],
    "layers": [layer(0, [0.0, 4.0, -2.0], ["a", "Ġ$b$", "_c"]), layer(3, [0.0, 0.0, 0.0])],
}


@pytest.fixture
def axes():
    return Figure().subplots()


def drawn(texts):
    """As matplotlib draws them: it takes text between dollars for a formula."""
    shown = []
    for text in texts:
        content, is_formula = text._preprocess_math(text.get_text())
        assert not is_formula
        shown.append(content.replace("\u200b", ""))
    return shown


def test_bars(axes):
    assert plots.token_bars(ONE, axes=axes) is axes
    assert [bar.get_height() for bar in axes.patches] == [0.0, 2.0, -1.0]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [
        colours(share)[1] for share in (0.0, 1.0, -0.5)
    ]
    assert drawn(axes.get_xticklabels()) == SHOWN
    assert list(axes.get_xticks()) == [0, 1, 2]
    assert drawn([axes.title]) == ["logit of a_b$, 1.50, layer 2"]
    assert axes.get_ylabel() == "score"


def test_bars_of_a_layer(axes):
    plots.token_bars(SEVERAL, layer=0, axes=axes)
    assert [bar.get_height() for bar in axes.patches] == [0.0, 4.0, -2.0]
    # Their mean has no signs.
    mean = plots.token_bars(SEVERAL)
    assert [bar.get_height() for bar in mean.patches] == [0.25, 0.25, 0.5]
    assert mean.get_ylabel() == "absolute score"


def test_bars_of_two_texts(axes):
    second = {"tokens_2": ["film"], "offsets_2": [[0, 4]], "grad_input_2": [3.0]}
    plots.token_bars({**ONE, **second}, axes=axes)
    assert [bar.get_height() for bar in axes.patches] == [0.0, 2.0, -1.0, 3.0]
    assert drawn(axes.get_xticklabels()) == [*SHOWN, "film"]


def test_heat_map(axes):
    assert plots.layer_heat_map(SEVERAL, axes) is axes
    (image,) = axes.images
    # Each layer by its own largest; a layer without any stays in the middle.
    assert image.get_array().tolist() == [[0.0, 1.0, -0.5], [0.0, 0.0, 0.0]]
    assert image.get_clim() == (-1, 1)
    assert [to_hex(image.cmap(end)) for end in (0.0, 1.0)] == [colours(-1.0)[1], colours(1.0)[1]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "3"]
    assert drawn(axes.get_xticklabels()) == SHOWN
    # The decoded words, in the cells that they belong to.
    assert drawn(axes.texts) == ["a", "$b$", "_c"]
    assert [text.get_position() for text in axes.texts] == [(0, 0), (1, 0), (2, 0)]


def test_heat_map_of_one_layer():
    axes = plots.layer_heat_map(ONE)
    assert axes.images[0].get_array().tolist() == [[0.0, 1.0, -0.5]]


def values(mean, half=None):
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return {"mean": mean, "low": low, "high": high, "n": 4}


def row(offset, metric="deletion_auc"):
    ratios = {f"{metric}@{ratio}": values(offset + ratio / 200, 0.1) for ratio in RATIOS}
    return {metric: values(0.5), **ratios}


ROWS = {"_a$_$b": row(0.25), "b": row(0.5), "without": {"iou": values(0.5)}}


def test_curves(axes):
    assert plots.curves(ROWS, "deletion_auc", axes) is axes
    assert len(axes.lines) == 2
    first = axes.lines[0]
    assert list(first.get_xdata()) == list(RATIOS)
    assert list(first.get_ydata()) == [0.25 + ratio / 200 for ratio in RATIOS]
    band = axes.collections[0].get_paths()[0].get_extents()
    assert (band.ymin, band.ymax) == pytest.approx((0.25 + 0.05 - 0.1, 0.25 + 0.5 + 0.1))
    assert axes.get_title() == "probability after deletion"
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len({colour for colour, _ in looks}) == len({style for _, style in looks}) == 2
    assert axes.get_legend() is None
    legend = plots.curves(ROWS, "deletion_auc").get_legend()
    assert drawn(legend.get_texts()) == ["_a$_$b", "b"]


def test_a_comparisons_figures_have_these_curves():
    rows = {**ROWS, "c": row(0.1, "insertion_auc")}
    results = {"rows": rows, "tests": [], "texts": 4, "errors": {}}
    figure = comparison_tables.figures(results)["curves"]
    deletion, insertion = figure.axes
    # The best first: a lower probability after deletion is better.
    assert list(deletion.lines[0].get_ydata()) == [0.25 + ratio / 200 for ratio in RATIOS]
    assert len(insertion.lines) == 1
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 3 and set(drawn(legend.get_texts())) == {"_a$_$b", "b", "c"}


@pytest.mark.parametrize(
    "draw, message",
    [
        (
            lambda: plots.token_bars({"instance_1": ONE}),
            "an instance .* is wanted.*got .*instance_1",
        ),
        (lambda: plots.token_bars({}), "got one with nothing"),
        (lambda: plots.token_bars({"grad_input_1": [1.0]}), "tokens_1 is wanted"),
        (lambda: plots.token_bars(SEVERAL, layer=1), "layer: 1 is not explained here; 0, 3 are"),
        (
            lambda: plots.layer_heat_map({k: ONE[k] for k in ("tokens_1", "grad_input_1")}),
            "this one names none",
        ),
        (
            lambda: plots.curves(ROWS, "iou"),
            "no curve of 'iou'; there are deletion_auc",
        ),
        (lambda: plots.curves({}, "deletion_auc"), "there are none"),
    ],
)
def test_mistakes(draw, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        draw()
    assert "\n" not in str(raised.value)


def test_without_matplotlib(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    for draw in (plots.token_bars, plots.layer_heat_map):
        with pytest.raises(ConfigurationError, match="needs matplotlib"):
            draw(ONE)
    assert comparison_tables.figures({"rows": ROWS}) is None
