import json

import pytest
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.data import Data, parsed


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "data.jsonl"
    content = [json.dumps({"sentence": f"good film {i}", "id": f"t{i}", "label": i}) for i in range(9)]
    path.write_bytes("\n\n".join(content).encode() + b'\n[1]\n{"sentence": "\xff"}\n{"text": "a"}\nnull\n')
    return str(path)


def test_json_lines(predictor, lines):
    examples = list(Data(lines).examples(predictor))
    assert [example.number for example in examples] == list(range(1, 14))
    assert [(e.id, e.fields.get("sentence"), e.label) for e in examples[:2]] == [
        ("t0", "good film 0", "0"),
        ("t1", "good film 1", "1"),
    ]
    assert all(example.instance is not None for example in examples[:9])
    # Bad lines never lose the good ones.
    errors = [example.error for example in examples[9:]]
    assert errors[0] == "a line must hold a JSON object; this one holds list"
    assert errors[1].startswith("not valid JSON: 'utf-8' codec")
    assert errors[2] == "KeyError: 'sentence'"
    assert errors[3] == "a line must hold a JSON object; this one holds NoneType"


def test_a_limit_and_a_sample(predictor, lines):
    numbers = [e.number for e in Data(lines).examples(predictor, limit=4)]
    assert numbers == [1, 2, 3, 4]
    drawn = [e.number for e in Data(lines, sample=5).examples(predictor, seed=1)]
    assert len(set(drawn)) == 5 and drawn == sorted(drawn)
    assert drawn == [e.number for e in Data(lines, sample=5).examples(predictor, seed=1)]
    assert drawn != [e.number for e in Data(lines, sample=5).examples(predictor, seed=2)]
    first = [e.number for e in Data(lines, sample=5).examples(predictor, seed=1, limit=2)]
    assert first == drawn[:2]
    assert len(list(Data(lines, sample=99).examples(predictor))) == 13


def test_readers(predictor, tmp_path, roberta_folder):
    path = tmp_path / "dev.tsv"
    path.write_text("sentence\tlabel\na good film\t1\nbad\t0\n")
    data = Data.from_params(Params({"path": str(path), "reader": "sst2_tsv"}))
    examples = list(data.examples(predictor))
    assert [(e.fields.get("sentence"), e.label) for e in examples] == [
        ("a good film", "positive"),
        ("bad", "negative"),
    ]
    # Read by the archive's tokenizer, not by the reader's own.
    assert examples[1].instance["tokens"].tokens[0].text == "<s>"
    other = Data(str(path), predictor._dataset_reader)
    (tmp_path / "dev.tsv").write_text(json.dumps({"text": "a good film", "label": "positive"}))
    (example,) = other.examples(predictor)
    assert example.label == "positive" and example.fields == {}


def test_mistakes(predictor, lines):
    with pytest.raises(ConfigurationError, match="data: no file"):
        list(Data("nowhere").examples(predictor))
    with pytest.raises(ConfigurationError, match="sample must be at least 1"):
        Data(lines, sample=0)


def test_a_number_beyond_floats_is_the_lines_own_error():
    line = parsed('{"sentence": "good", "id": 1e999}', 3)
    assert "1e999 is beyond the largest number" in line.error and line.number == 3
    assert parsed('{"sentence": "good", "id": 1e308}', 1)["id"] == 1e308


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"sentence": "good"}\n{"sentence": "bad"}\n')
    lines = [item.read() for item in Data(str(path)).inputs()]
    assert [(line["sentence"], line.error) for line in lines] == [("good", None), ("bad", None)]


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_utf_16_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_text("sentence\ngood\n", encoding="utf-16")
    with pytest.raises(ConfigurationError, match="is UTF-16; UTF-8 is wanted"):
        list(Data(str(path)).inputs())


def test_a_sample_of_one(lines):
    drawn = [item.number for item in Data(lines, sample=1).inputs(seed=3)]
    assert len(drawn) == 1
    assert drawn == [item.number for item in Data(lines, sample=1).inputs(seed=3)]
    with pytest.raises(ConfigurationError, match="sample must be at least 1; got 0"):
        Data(lines, sample=0)
