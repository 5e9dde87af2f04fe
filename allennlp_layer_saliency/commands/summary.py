"""`allennlp saliency summary`: which words a classifier relies on, from any number of explanations."""

import os
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Tuple

from allennlp.common import Tqdm
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.commands.experiment import check_at_least_one
from allennlp_layer_saliency.files import check_is_file
from allennlp_layer_saliency.output_line import output_line
from allennlp_layer_saliency.provenance import sha256
from allennlp_layer_saliency.reports import summary_tables
from allennlp_layer_saliency.reports.explanations import read
from allennlp_layer_saliency.results_folder import ResultsFolder, read_json, write_json
from allennlp_layer_saliency.runs.folder import read_shard, shards_of
from allennlp_layer_saliency.summary import tables
from allennlp_layer_saliency.summary.tally import Tally
from allennlp_layer_saliency.version import VERSION

MIN_TEXTS = 5
# What is done of each source, so that a stopped run goes on, and one with more shards adds only these.
PARTS = "parts"


class Source(NamedTuple):
    """A file of explanations, the interpreter that made them, and whether the file is a run's."""

    interpreter: str
    path: str
    of_run: bool


def summarise(
    paths: List[str],
    output: str,
    min_texts: int = MIN_TEXTS,
    keep_case: bool = False,
    stop_words: Optional[str] = None,
    force: bool = False,
) -> None:
    """
    Write OUT/summary.json and tables of which words speak for and against each class, of decoded words that
    are in no text, of confusions, and of suspected artefacts; show the first of each.

    # Parameters

    paths : `List[str]`
        Folders of `allennlp saliency run`, and files of `allennlp predict --predictor saliency`. What several
        have of one interpreter, or under one name, is put together.
    output : `str`
        A folder.
    min_texts : `int`
        Words of fewer texts are left out of the tables.
    keep_case : `bool`
        Whether "Good" and "good" are two words.
    stop_words : `str`, optional
        A file of words, one a line, that are left out.
    force : `bool`
        Whether to start over, whatever the folder holds.

    # Raises

    `ConfigurationError`
        If a path holds no explanations, or the folder another summary.
    """
    check_at_least_one(min_texts=min_texts)
    left_out = _stop_words(stop_words, keep_case)
    known = {"keep_case": keep_case, "stop_words": sorted(left_out), "version": VERSION}
    sources = _sources(paths)
    with ResultsFolder(output, "config.json", "summary") as folder:
        before = None if force else folder.before()
        if before is not None:
            folder.check_same(before, known)
        folder.describe(known)
        tallies: Dict[str, Tally] = {}
        with Tqdm.tqdm(desc="summary", unit=" files", total=len(sources)) as bar:
            for source in sources:
                part = _part(folder, source, keep_case, left_out, anew=before is None)
                tallies.setdefault(source.interpreter, Tally()).merge(part)
                bar.update()
        if not any(tally.texts for tally in tallies.values()):
            raise ConfigurationError(f"{', '.join(paths)}: there is no explanation, only error records")
        found = {
            name: {
                "words": tables.words(tally, min_texts),
                "unseen": tables.unseen(tally, min_texts),
                "confusions": tables.confusions(tally, min_texts),
                "suspects": tables.suspects(tally, min_texts),
            }
            for name, tally in tallies.items()
        }
        counts = {
            name: {"texts": tally.texts, "unexplained": tally.errors, "labels": dict(tally.label_counts)}
            for name, tally in tallies.items()
        }
        written = summary_tables.write(found, counts, {**known, "min_texts": min_texts}, output)
        summary_tables.show(found, counts)
    print(", ".join(written))


def _stop_words(path: Optional[str], keep_case: bool) -> FrozenSet[str]:
    if path is None:
        return frozenset()
    check_is_file(path, "--stop-words")
    with open(path, encoding="utf-8") as lines:
        words = (line.strip() for line in lines)
        return frozenset(word if keep_case else word.lower() for word in words if word)


def _sources(paths: List[str]) -> List[Source]:
    """In an order that does not depend on that of the paths."""
    found = []
    for path in paths:
        if os.path.isdir(path):
            found += [
                Source(name, shard, True) for name, shards in shards_of(path).items() for shard in shards
            ]
        elif os.path.isfile(path):
            found.append(Source(os.path.splitext(os.path.basename(path))[0], path, False))
        else:
            raise ConfigurationError(f"no file or folder {path}")
    if not found:
        raise ConfigurationError(f"{', '.join(paths)}: there are no explanations yet")
    return sorted(set(found))


def _part(
    folder: ResultsFolder, source: Source, keep_case: bool, stop_words: FrozenSet[str], anew: bool
) -> Tally:
    """What a source adds up to, as it was saved for these bytes, or else made and saved."""
    digest = sha256(source.path)
    os.makedirs(folder.file(PARTS), exist_ok=True)
    path = folder.file(os.path.join(PARTS, f"{digest}.json"))
    saved = None if anew else read_json(path)
    if saved is not None:
        return Tally.loaded(saved)
    tally = Tally(keep_case, stop_words)
    for place, line in _lines(source):
        tally.add(output_line(line), place)
    write_json(path, tally.saved())
    return tally


def _lines(source: Source) -> Iterator[Tuple[str, JsonDict]]:
    name = os.path.basename(source.path)
    if source.of_run:
        for number, line in enumerate(read_shard(source.path), start=1):
            yield f"{name}:{number}", line
    else:
        for number, line in read(source.path):
            yield f"{name}:{number}", line
