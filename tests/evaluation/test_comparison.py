from allennlp_layer_saliency.evaluation.comparison_summary import summary


def test_a_row_whose_metrics_all_failed_keeps_its_randomisation():
    records = [
        {"example": 1, "row": "a", "metrics": {"sufficiency": 0.5}, "costs": {}},
        {"example": 1, "row": "b", "error": "none"},
    ]
    randomised = {"b": [{"example": 1, "stage": "classifier", "value": 0.25}]}
    rows = summary(records, randomised, None, seed=0)["rows"]
    assert rows["a"]["sufficiency"]["mean"] == 0.5
    assert rows["b"]["randomisation"]["mean"] == 0.25
