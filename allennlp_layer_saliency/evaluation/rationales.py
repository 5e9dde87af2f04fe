"""Words that people call the important ones: from the files that hold them."""

import csv
import difflib
import json
import logging
import os
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple, Type

from allennlp.common import FromParams
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.evaluation.known_words import KnownWords, Word, words_of
from allennlp_layer_saliency.files import check_is_file

logger = logging.getLogger(__name__)

_LEAF = re.compile(r"\(([0-4]) ([^()\s]+)\)")
_ESCAPES = (("-LRB-", "("), ("-RRB-", ")"), ("\\/", "/"), ("\\*", "*"))
# The trees' labels, 0 (very negative) to 4 (very positive), that count as salient for a class.
_SALIENT = {"positive": (3, 4), "negative": (0, 1)}
_NAMES = {"positive": "positive", "1": "positive", "negative": "negative", "0": "negative"}


class Rationales(FromParams, KnownWords):
    """
    Human rationales. Lines that are not of the form are warned of, with file and line, and left out.

    # Parameters

    path : `str`
    format : `str`, optional (default = `"sst_trees"`)
        "sst_trees": the Stanford Sentiment Treebank's, a tree in brackets on each line, with a label from 0
        to 4 on each of its words and phrases. Salient for "positive" (or "1") are words with 3 or 4, for
        "negative" (or "0") those with 0 or 1.

        "eraser": the ERASER benchmark's (DeYoung et al., 2020), JSON lines with `annotation_id` and
        `evidences`, the documents in `docs` beside the file. Salient are the words of any evidence.

        "spans": JSON lines with the `id` of an input and `spans`: pairs of characters (start, end); of a
        pair of texts an object with such a list for each, by the field's name.

        "counterfactual": texts and their human edits (Kaushik et al., 2020), tab-separated as published:
        `Sentiment`, `Text`, `batch_id`, or `sentence1`, `sentence2`, `gold_label`. Salient are the words
        that are otherwise in an edit which has another label.

        Trees, documents and counterfactuals are found by their texts, whatever the white space and capitals.

    # Raises

    `ConfigurationError`
        If the format is unknown, there is no such file, or no line of it is of the form.
    """

    def __init__(self, path: str, format: str = "sst_trees") -> None:
        if format not in _FORMATS:
            raise ConfigurationError(
                f"rationales: format must be one of {', '.join(_FORMATS)}; got {format!r}"
            )
        check_is_file(path, "rationales")
        self.path = path
        try:
            self._known: KnownWords = _FORMATS[format](path)
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"rationales: {path} is not UTF-8: {error}") from error

    def words(self, id: Any, texts: Mapping[str, str], predicted: str) -> Optional[List[Word]]:
        return self._known.words(id, texts, predicted)


class _Trees(KnownWords):
    def __init__(self, path: str) -> None:
        self._trees: Dict[str, List[Tuple[str, int]]] = {}
        for line in _lines(path, "a tree such as (3 (2 a) (4 joy))", self._read):
            self._trees["".join(word for word, _ in line)] = line

    @staticmethod
    def _read(line: str) -> List[Tuple[str, int]]:
        leaves = [(_plain(_unescaped(word)), int(label)) for label, word in _LEAF.findall(line)]
        if not leaves:
            raise ValueError(repr(line[:40]))
        return leaves

    def words(self, id: Any, texts: Mapping[str, str], predicted: str) -> Optional[List[Word]]:
        if predicted not in _NAMES:
            raise ConfigurationError(
                f"rationales: the trees know {' and '.join(_SALIENT)}; the model predicts {predicted!r}"
            )
        if len(texts) > 1:
            return None
        # Each letter of the key, and where it comes from: some are two in lower case.
        (text,) = texts.values()
        letters = [(small, i) for i, letter in enumerate(text) for small in _plain(letter)]
        found = self._trees.get("".join(small for small, _ in letters))
        if found is None:
            return None
        words, at = [], 0
        for word, label in found:
            span = letters[at][1], letters[at + len(word) - 1][1] + 1
            words.append(Word(*span, label in _SALIENT[_NAMES[predicted]]))
            at += len(word)
        return words


class _Eraser(KnownWords):
    """By document and query: which of the document's words, counting from 0, are of an evidence."""

    def __init__(self, path: str) -> None:
        self._folder = os.path.join(os.path.dirname(path), "docs")
        self._documents: Dict[str, List[str]] = {}
        self._evidence: Dict[Tuple[str, Optional[str]], Set[int]] = {}
        wanted = "annotation_id and evidences, each of a document in docs/ and within it"
        for evidence in _lines(path, wanted, self._read):
            for key, tokens in evidence.items():
                self._evidence.setdefault(key, set()).update(tokens)
        self._queries: Dict[str, List[Optional[str]]] = {}
        for document, query in self._evidence:
            self._queries.setdefault(document, []).append(query)

    def _read(self, line: str) -> Dict[Tuple[str, Optional[str]], Set[int]]:
        content = _object(line)
        query = content.get("query")
        query = _plain(query) if isinstance(query, str) and query.strip() else None
        found: Dict[Tuple[str, Optional[str]], Set[int]] = {}
        # A document without evidence is named by its annotation alone.
        for name in content.get("docids") or ([] if content["evidences"] else [content["annotation_id"]]):
            found[_plain(" ".join(self._document(name))), query] = set()
        for evidence in (each for group in content["evidences"] for each in group):
            name, start, end = evidence["docid"], evidence["start_token"], evidence["end_token"]
            document = self._document(name)
            # The movies have evidence of no words: it says nothing, and the rest counts.
            if not 0 <= start <= end <= len(document):
                raise ValueError(f"tokens {start} to {end} of {name!r}, which has {len(document)}")
            own = evidence.get("text")
            if isinstance(own, str) and own.split() != document[start:end]:
                raise ValueError(f"tokens {start} to {end} of {name!r} are not {own[:40]!r}")
            found.setdefault((_plain(" ".join(document)), query), set()).update(range(start, end))
        return found

    def _document(self, name: Any) -> List[str]:
        if name not in self._documents:
            # A name from the file: it may not lead out of the folder.
            if not isinstance(name, str) or os.path.basename(name) != name or name in ("", ".", ".."):
                raise ValueError(f"document {name!r}")
            try:
                with open(os.path.join(self._folder, name), encoding="utf-8") as file:
                    self._documents[name] = file.read().split()
            except FileNotFoundError:
                raise ValueError(f"no document {name!r}") from None
        return self._documents[name]

    def words(self, id: Any, texts: Mapping[str, str], predicted: str) -> Optional[List[Word]]:
        keys = [_plain(text) for text in texts.values()]
        for which, document in enumerate(keys):
            queries = self._queries.get(document, [])
            # A query that all share, such as the movies', need not be a text of the input.
            asked = [query for query in queries if query in keys] or queries
            if len(asked) == 1:
                return self._of_document(texts, which, self._evidence[document, asked[0]])
        return None

    @staticmethod
    def _of_document(texts: Mapping[str, str], which: int, evidence: Set[int]) -> List[Word]:
        return words_of(texts, lambda text, number, _: text == which and number in evidence)


class _Spans(KnownWords):
    """By id: the line's number, and spans by the names of fields; by None those of the only text."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._told: Set[int] = set()
        wanted = '{"id": ..., "spans": [[start, end], ...]}'
        self._spans = {id: (number, spans) for number, (id, spans) in _numbered(path, wanted, self._read)}

    @staticmethod
    def _read(line: str) -> Tuple[str, Dict[Optional[str], List[Tuple[int, int]]]]:
        content = _object(line)
        spans = content["spans"]
        found: Dict[Optional[str], List[Tuple[int, int]]] = {}
        for name, of_field in (spans if isinstance(spans, dict) else {None: spans}).items():
            found[name] = [(start, end) for start, end in of_field]
            for span in found[name]:
                if any(type(end) is not int for end in span) or not 0 <= span[0] < span[1]:
                    raise ValueError(f"span {list(span)}")
        return json.dumps(content["id"]), found

    def words(self, id: Any, texts: Mapping[str, str], predicted: str) -> Optional[List[Word]]:
        if id is None or json.dumps(id) not in self._spans:
            return None
        number, spans = self._spans[json.dumps(id)]
        only = next(iter(texts)) if len(texts) == 1 else "(none)"
        by_field = {name or only: of_field for name, of_field in spans.items()}
        unknown = [f"field {name!r}" for name in by_field if name not in texts]
        beyond = [
            f"span {[start, end]}"
            for name, of_field in by_field.items()
            for start, end in of_field
            if name in texts and not texts[name][start:end].strip() or end > len(texts.get(name, ""))
        ]
        if unknown or beyond:
            if number not in self._told:
                logger.warning(
                    "%s, line %d: spans within the texts of %r (%s) are wanted; there is %s: it is left out",
                    self._path,
                    number,
                    id,
                    ", ".join(texts),
                    (unknown + beyond)[0],
                )
            self._told.add(number)
            return None
        of_text = [by_field.get(name, []) for name in texts]
        return words_of(
            texts,
            lambda text, _, match: any(s < match.end() and match.start() < e for s, e in of_text[text]),
        )


class _Counterfactuals(KnownWords):
    """By texts: which of their words, counting from 0, are otherwise in an edit with another label."""

    FORMS = (("sentiment", "text", "batch_id"), ("sentence1", "sentence2", "gold_label"))

    def __init__(self, path: str) -> None:
        self._changed: Dict[Tuple[str, ...], List[Set[int]]] = {}
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file, delimiter="\t")
            form = tuple(name.lower() for name in next(rows, []))
            if form not in self.FORMS:
                raise ConfigurationError(
                    f"{path}, line 1: the columns {' or '.join(', '.join(form) for form in self.FORMS)} are "
                    f"wanted; there is {', '.join(form) or 'nothing'}"
                )
            groups: Dict[Any, List[Tuple[str, Tuple[str, ...]]]] = {}
            for row in rows:
                if len(row) != len(form) or not all(row):
                    logger.warning(
                        "%s, line %d: %d columns are wanted; there are %d",
                        path,
                        rows.line_num,
                        len(form),
                        len(row),
                    )
                elif form == self.FORMS[0]:
                    groups.setdefault(row[2], []).append((row[0], (row[1],)))
                else:
                    # One of the two is edited; what shares the other one is a group.
                    for kept in (0, 1):
                        groups.setdefault((kept, row[kept]), []).append((row[2], (row[0], row[1])))
        for group in groups.values():
            for label, texts in group:
                for other, edited in group:
                    if other != label:
                        self._add(texts, edited)
        if not self._changed:
            raise ConfigurationError(f"rationales: no text of {path} has an edit with another label")

    def _add(self, texts: Tuple[str, ...], edited: Tuple[str, ...]) -> None:
        changed = self._changed.setdefault(tuple(map(_plain, texts)), [set() for _ in texts])
        for of_text, text, edit in zip(changed, texts, edited):
            matcher = difflib.SequenceMatcher(None, text.split(), edit.split(), autojunk=False)
            for kind, start, end, _, _ in matcher.get_opcodes():
                if kind != "equal":
                    of_text.update(range(start, end))

    def words(self, id: Any, texts: Mapping[str, str], predicted: str) -> Optional[List[Word]]:
        changed = self._changed.get(tuple(map(_plain, texts.values())))
        if changed is None:
            return None
        return words_of(texts, lambda text, number, _: number in changed[text])


_FORMATS: Dict[str, Type[Any]] = {
    "sst_trees": _Trees,
    "eraser": _Eraser,
    "spans": _Spans,
    "counterfactual": _Counterfactuals,
}


def _numbered(path: str, wanted: str, read: Callable[[str], Any]) -> Iterator[Tuple[int, Any]]:
    """What `read` makes of each line that is not blank, with its number; what it can't read is warned of."""
    some = False
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found = read(line.strip())
            except (ValueError, KeyError, TypeError) as error:
                problem = f"no {error}" if isinstance(error, KeyError) else str(error)
                logger.warning("%s, line %d: %s is wanted; there is %s", path, number, wanted, problem)
                continue
            some = True
            yield number, found
    if not some:
        raise ConfigurationError(f"rationales: no line of {path} is of the form: {wanted} is wanted")


def _lines(path: str, wanted: str, read: Callable[[str], Any]) -> Iterator[Any]:
    return (found for _, found in _numbered(path, wanted, read))


def _object(line: str) -> JsonDict:
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ValueError(repr(line[:40]))
    return content


def _unescaped(word: str) -> str:
    for escaped, plain in _ESCAPES:
        word = word.replace(escaped, plain)
    return word


def _plain(word: str) -> str:
    # Letter by letter: what a letter becomes may depend on those beside it.
    return "".join("".join(letter.lower().split()) for letter in word)
