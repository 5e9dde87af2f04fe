import pytest

from allennlp_layer_saliency.predictors import saliency


@pytest.fixture(autouse=True)
def no_report_at_exit(monkeypatch):
    """Many predictors live in this process; their counts at its end would be noise."""
    monkeypatch.setattr(saliency.atexit, "register", lambda function: function)
