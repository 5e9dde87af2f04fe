import pytest
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.data import DatasetReader
from allennlp.data.tokenizers import WhitespaceTokenizer

from tests.conftest import ROOT

DATA = ROOT.parent / "shared" / "data"


def reader(name):
    return DatasetReader.by_name(name)(tokenizer=WhitespaceTokenizer())


def read(name, path):
    return [
        (
            " ".join(token.text for token in instance["tokens"].tokens),
            instance["label"].label if "label" in instance.fields else None,
        )
        for instance in reader(name).read(str(path))
    ]


def test_sst2(tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text('sentence\tlabel\na "charming\u2028journey \t1\r\nbleak\t0\n')
    assert read("sst2_tsv", path) == [('a "charming journey', "positive"), ("bleak", "negative")]
    path.write_text("index\tsentence\n0\tbleak\n")
    assert read("sst2_tsv", path) == [("bleak", None)]


def test_ag_news(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text('"3","Oil, ""up""","Prices\\rise ."\n"4","","No title"\n"1",A,B\n')
    assert read("ag_news_csv", path) == [
        ('Oil, "up" Prices\\rise .', "Business"),
        ("No title", "Sci/Tech"),
        ("A B", "World"),
    ]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("sst2_tsv", "", "line 1: the columns 'sentence' and 'label', or .* there is ''"),
        ("sst2_tsv", "sentence\tlabels\n", "there is 'sentence', 'labels'"),
        ("sst2_tsv", "sentence\tlabel\n", "holds no text"),
        ("sst2_tsv", "sentence\tlabel\na\t1\nb\t2\n", "line 3: the label must be 0 or 1; got '2'"),
        ("sst2_tsv", "sentence\tlabel\na\n", "line 2: 2 columns are wanted; there are 1"),
        ("sst2_tsv", "sentence\tlabel\n \t1\n", "line 2: the text is empty"),
        ("ag_news_csv", "", "holds no text"),
        ("ag_news_csv", '"5","a","b"\n', "line 1: the label must be 1, 2, 3 or 4; got '5'"),
        ("ag_news_csv", '"1","a"\n', "line 1: class, title and description .* are 2 columns"),
        ("ag_news_csv", '"1","a","b"\n"2","c","d\n"3","e","f"\n', "line 2: .*quotes do not close"),
        ("ag_news_csv", '"1","",""\n', "line 1: the text is empty"),
    ],
)
def test_what_is_not_of_the_form_is_named(tmp_path, name, content, message):
    path = tmp_path / "data"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=message) as error:
        read(name, path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_not_utf_8(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"sentence\tlabel\nfilm \xff\t1\n")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        read("sst2_tsv", path)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data sets")
@pytest.mark.parametrize(
    "name, path, count",
    [
        ("sst2_tsv", "sst2/train.tsv", 67_349),
        ("sst2_tsv", "sst2/dev.tsv", 872),
        ("sst2_tsv", "sst2/test.tsv", 1_821),
        ("ag_news_csv", "ag_news/test.csv", 7_600),
        ("ag_news_csv", "ag_news/train_subset.csv", 35_478),
    ],
)
def test_the_official_files_are_read_whole(name, path, count):
    assert sum(1 for _ in reader(name).read_texts(str(DATA / path))) == count


def test_texts_that_are_cut_off_are_known_like_the_others(tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text("sentence\tlabel\n" + "charming " * 300 + "\t1\nbleak\t0\n")
    model = str(ROOT / "fixtures" / "sst-roberta-mlm")
    settings = {"type": "pretrained_transformer", "model_name": model}
    params = {
        "type": "sst2_tsv",
        "tokenizer": {**settings, "max_length": 16},
        "token_indexers": {"tokens": settings},
    }
    instances = list(DatasetReader.from_params(Params(params)).read(str(path)))
    assert len({type(instance["tokens"]) for instance in instances}) == 1
    long = instances[0]["tokens"]
    assert long.texts == ["charming " * 300] or long.texts == [("charming " * 300).strip()]
    for token, span in list(zip(long.tokens, long.spans))[1:-1]:
        assert long.texts[0][span.start : span.end].strip() == token.text.strip("\u0120")
