import argparse
import logging
import sys
import warnings
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Callable, Iterator

from allennlp.commands import Subcommand
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.commands.archive import make_archive
from allennlp_layer_saliency.commands.compare import run_comparison
from allennlp_layer_saliency.commands.head import fit_head
from allennlp_layer_saliency.commands.layers import measure_layers
from allennlp_layer_saliency.commands.run import explain_data
from allennlp_layer_saliency.commands.serve import PORT, serve
from allennlp_layer_saliency.commands.summary import MIN_TEXTS, summarise
from allennlp_layer_saliency.reports import page


@Subcommand.register("saliency")
class SaliencyCommand(Subcommand):
    """
    `allennlp saliency ...`: what goes beyond explaining inputs with `allennlp predict`.

    Registered as a `Subcommand` with name "saliency".
    """

    def add_subparser(self, parser: argparse._SubParsersAction) -> argparse.ArgumentParser:
        description = "Decoded layer saliency: what goes beyond `predict --predictor saliency`."
        subparser = parser.add_parser(self.name, description=description, help=description)
        commands = subparser.add_subparsers(title="commands", metavar="COMMAND", required=True)

        description = (
            "Make an AllenNLP archive, with weights and tokenizer inside, of a Hugging Face "
            "AutoModelForSequenceClassification."
        )
        command = _add_command(commands, "archive", description)
        command.add_argument("folder", help="the model's folder, or its name on the hub")
        command.add_argument(
            "-o", "--output", default="model.tar.gz", help="the archive (default: model.tar.gz)"
        )
        command.add_argument("-f", "--force", action="store_true", help="overwrite the archive if it exists")
        command.add_argument("--max-length", type=int, help="cut longer texts to this many word pieces")
        command.add_argument(
            "--base",
            help="the language model it was fine-tuned from, where the folder does not say so",
        )
        command.add_argument("--words", action="store_true", help="explain words, and not word pieces")
        command.set_defaults(
            func=_worker(
                lambda args: make_archive(
                    args.folder, args.output, args.force, args.max_length, args.base, args.words
                )
            )
        )

        for name, work, description in (
            (
                "layers",
                measure_layers,
                "Measure how much of the input each layer still holds when the LM head decodes it: a "
                "table, layers.json, layers.csv and a plot.",
            ),
            (
                "compare",
                run_comparison,
                "Compare interpreters on a data set by how faithful and how plausible they are: tables, "
                "plots and comparison.json. A stopped run goes on where it was.",
            ),
            (
                "head",
                fit_head,
                "Fit an LM head to each layer, without labels, from a head that there is: head.json and "
                'head.safetensors, for the lm_head { type: "tuned", path: OUT }.',
            ),
        ):
            command = _add_configured(commands, name, description)
            command.set_defaults(func=_worker(partial(_with_config, work)))

        description = (
            "Explain a whole data set, in shards, with as many processes as you like. A stopped run goes on "
            "where it was."
        )
        command = _add_configured(commands, "run", description)
        command.add_argument("--shard-size", type=int, help="texts in a shard (default: 256)")
        command.add_argument(
            "--workers", type=int, help="number of Ray processes; left out: this process alone, without Ray"
        )
        command.add_argument("--address", help="of a Ray cluster; left out, this machine")
        command.add_argument(
            "--gpus-per-worker", type=float, default=0, help="such as 1, or 0.5 (default: 0)"
        )
        command.set_defaults(func=_worker(_run))

        description = (
            "Make one self-contained HTML page of explanations that allennlp predict --predictor saliency "
            "wrote, several interpreters side by side, or of what layers, compare, summary or run wrote."
        )
        command = _add_command(commands, "report", description)
        command.add_argument(
            "paths", nargs="+", help="a folder, or files of explanations; beside them a summary"
        )
        command.add_argument("-o", "--output", default="report.html", help="the page (default: report.html)")
        command.add_argument("-f", "--force", action="store_true", help="overwrite the page")
        command.set_defaults(func=_worker(lambda args: page.write(args.paths, args.output, args.force)))

        command = _add_command(
            commands, "summary", "Which words a classifier relies on, over all explanations of a data set."
        )
        command.add_argument("paths", nargs="+", help="folders of run, or files of explanations")
        command.add_argument("-s", "--output", required=True, help="the folder for the results")
        command.add_argument(
            "--min-texts", type=int, default=MIN_TEXTS, help=f"of a word to be shown (default: {MIN_TEXTS})"
        )
        command.add_argument("--keep-case", action="store_true", help='"Good" and "good" are two words')
        command.add_argument("--stop-words", help="a file of words to be left out, one a line")
        command.add_argument("-f", "--force", action="store_true", help="overwrite results")
        command.set_defaults(
            func=_worker(
                lambda args: summarise(
                    args.paths, args.output, args.min_texts, args.keep_case, args.stop_words, args.force
                )
            )
        )

        command = _add_command(
            commands,
            "serve",
            "A live page: type a text, see its explanation, take words out. For this machine alone, unless "
            "--host says otherwise.",
        )
        command.add_argument("archive", help="an archive, or the folder of a Hugging Face classifier")
        command.add_argument(
            "-p", "--port", type=int, default=PORT, help=f"0 for any that is free (default: {PORT})"
        )
        command.add_argument("--host", default="127.0.0.1", help="the address to listen on")
        command.add_argument(
            "--name", action="append", help="a further name under which the page may be asked for"
        )
        command.add_argument("--interpreters", help="a jsonnet file: configurations by name")
        command.add_argument("--inner", help="the predictor that reads a text")
        command.add_argument("--cuda-device", type=int, default=-1, help="-1 is the CPU")
        command.set_defaults(
            func=_worker(
                lambda args: serve(
                    args.archive,
                    args.port,
                    args.host,
                    args.name,
                    args.interpreters,
                    args.inner,
                    args.cuda_device,
                )
            )
        )
        return subparser


def _add_command(
    commands: argparse._SubParsersAction, name: str, description: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, description=description, help=description)
    command.add_argument("--verbose", action="store_true", help="all that AllenNLP and others log")
    return command


def _add_configured(
    commands: argparse._SubParsersAction, name: str, description: str
) -> argparse.ArgumentParser:
    command = _add_command(commands, name, description)
    command.add_argument("config", help="a jsonnet file: archive_file, data, ...")
    command.add_argument("-s", "--output", required=True, help="the folder for the results")
    command.add_argument("--limit", type=int, help="at most this many texts")
    command.add_argument("--cuda-device", type=int, default=-1, help="-1 is the CPU")
    command.add_argument("-f", "--force", action="store_true", help="overwrite results")
    return command


def _run(args: argparse.Namespace) -> None:
    status = explain_data(
        args.config,
        args.output,
        args.limit,
        args.cuda_device,
        args.force,
        args.shard_size,
        args.workers,
        args.address,
        args.gpus_per_worker,
        getattr(args, "include_package", []),
    )
    if status:
        sys.exit(status)


def _with_config(work: Callable[..., Any], args: argparse.Namespace) -> None:
    work(args.config, args.output, args.limit, args.cuda_device, args.force)


@contextmanager
def _quiet() -> Iterator[None]:
    """Say what a person wants to know: not how everything is loaded, and no warnings of other libraries."""
    # Of fonts, matplotlib logs a warning for each that a formula might have needed.
    levels = {
        logging.getLogger(): logging.WARNING,
        logging.getLogger("matplotlib.font_manager"): logging.ERROR,
    }
    before = {logger: logger.level for logger in levels}
    try:
        for logger, level in levels.items():
            logger.setLevel(level)
        with warnings.catch_warnings():
            # Those that they give their users; ours are logged.
            for kind in (DeprecationWarning, FutureWarning, UserWarning):
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def _in_words(error: Exception) -> str:
    """Without the number of the system's error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _worker(work: Callable[[argparse.Namespace], Any]) -> Callable[[argparse.Namespace], None]:
    """Mistakes that the user can mend end in one line and exit status 1."""

    def run(args: argparse.Namespace) -> None:
        try:
            with nullcontext() if args.verbose else _quiet():
                work(args)
        except (ConfigurationError, OSError) as error:
            print(f"allennlp saliency: {_in_words(error)}", file=sys.stderr)
            sys.exit(1)

    return run
