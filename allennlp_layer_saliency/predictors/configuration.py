"""From configurations to interpreters and inner predictors."""

import json
import os
from typing import Any, Dict, Optional, Union

from allennlp.common.checks import ConfigurationError
from allennlp.common.params import Params
from allennlp.common.util import JsonDict
from allennlp.data import DatasetReader
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.models import Model
from allennlp.predictors import Predictor

from allennlp_layer_saliency.files import read_params
from allennlp_layer_saliency.models import HuggingFaceClassifier


def interpreter_params(interpreter: Union[str, Dict[str, Any], Params]) -> Params:
    """
    An interpreter's configuration from a jsonnet or JSON file, an object, or a registered name.

    # Raises

    `ConfigurationError`
        If the file does not exist or can't be read, a setting is an object that JSON does not know, or there
        is no interpreter of that name.
    """
    if isinstance(interpreter, Params):
        params = interpreter.duplicate()
    elif isinstance(interpreter, dict):
        params = Params({name: _plain(name, setting) for name, setting in interpreter.items()})
    elif interpreter.endswith((".json", ".jsonnet")):
        if not os.path.isfile(interpreter):
            registered = ", ".join(sorted(SaliencyInterpreter.list_available()))
            raise ConfigurationError(
                f"interpreter: no file {interpreter}; a registered name does as well: {registered}"
            )
        params = read_params(interpreter, "interpreter")
    else:
        params = Params({"type": interpreter})
    name = params.get("type")
    known = sorted(SaliencyInterpreter.list_available())
    if name not in known:
        raise ConfigurationError(
            f"interpreter: no interpreter is registered as {name!r}; there are {', '.join(known)}, and a "
            "file's name must end in .jsonnet or .json"
        )
    return params


def _plain(name: str, setting: Any) -> Any:
    """A copy, which whoever takes settings out of it may empty."""
    try:
        return json.loads(json.dumps(setting))
    except TypeError as error:
        raise ConfigurationError(
            f"{name} must be given as in a configuration, such as "
            f'{{"type": ...}}; got an object of {type(setting).__name__}'
        ) from error


def resolved(interpreters: Dict[str, Any]) -> Dict[str, JsonDict]:
    """
    The interpreters' configurations by name, with what their files hold.

    # Raises

    `ConfigurationError`
        As `interpreter_params`; the message has the interpreter's name.
    """
    found = {}
    for name, interpreter in interpreters.items():
        try:
            found[name] = interpreter_params(interpreter).as_dict(quiet=True)
        except ConfigurationError as error:
            raise ConfigurationError(f"interpreters, {name}: {error}") from error
    return found


def inner_predictor(
    model: Model, dataset_reader: DatasetReader, inner: Optional[Union[str, Dict[str, Any]]]
) -> Predictor:
    """
    The predictor that turns lines into instances, by registered name, configuration, or the model's default.

    # Raises

    `ConfigurationError`
        If there is no such predictor, or it has no such arguments.
    """
    arguments = {"type": inner} if isinstance(inner, str) else dict(inner or {})
    name = arguments.pop("type", type(model).default_predictor)
    if name is None:
        raise ConfigurationError(
            f"{type(model).__name__} has no default predictor; name one: --predictor-args "
            '\'{"inner": "text_classifier", ...}\''
        )
    if name not in Predictor.list_available() or name == "saliency":
        raise ConfigurationError(f"inner: no predictor to explain is registered as {name!r}")
    try:
        predictor = Predictor.by_name(name)(model, dataset_reader, **arguments)
    except TypeError as error:
        raise ConfigurationError(f"inner: {error}") from error
    if isinstance(model, HuggingFaceClassifier):
        # AllenNLP's interpreters look for them in models with a text field embedder, which this one has not.
        embeddings = model.classifier.get_input_embeddings
        predictor.get_interpretable_layer = embeddings  # type: ignore
        predictor.get_interpretable_text_field_embedder = embeddings  # type: ignore
    return predictor
