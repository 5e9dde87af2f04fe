"""What the commands with a configuration share."""

from typing import Any, Dict, Iterator, List, Optional, Tuple, Type, TypeVar, Union

from allennlp.common import FromParams
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import DatasetReader
from allennlp.models import Model
from allennlp.predictors import Predictor

from allennlp_layer_saliency.data import Data
from allennlp_layer_saliency.files import check_is_file, read_params
from allennlp_layer_saliency.models.allennlp.settings import refuse_unknown
from allennlp_layer_saliency.models.text_reader import Prepared, TextReader
from allennlp_layer_saliency.predictors.opening import open_model
from allennlp_layer_saliency.provenance import provenance

T = TypeVar("T", bound="Experiment")


class Experiment(FromParams):
    """
    A model, and the texts that something is found out about it with.

    # Parameters

    archive_file : `str`
        An archive, or the folder of a Hugging Face classifier (or, for `layers` and `head`, encoder).
    data : `Data`
    inner : `str` or `Dict[str, Any]`, optional
        The predictor that reads the data, as for the `saliency` predictor; left out, the model's default.
    seed : `int`, optional (default = `0`)
        Of all that is drawn at random, the data's `sample` among it.
    limit : `int`, optional
        At most this many texts, from the beginning.

    # Attributes

    settings : `JsonDict`
        The configuration that it was made from.
    """

    settings: JsonDict
    # Whether a plain encoder will do.
    STATES_ONLY = False

    def __init__(
        self,
        archive_file: str,
        data: Data,
        inner: Optional[Union[str, Dict[str, Any]]] = None,
        seed: int = 0,
        limit: Optional[int] = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(type(self), unknown)
        check_at_least_one(limit=limit)
        self.archive_file = archive_file
        self.data = data
        self.inner = inner
        self.seed = seed
        self.limit = limit

    @classmethod
    def read(cls: Type[T], path: str, **overrides: Any) -> T:
        """
        From a jsonnet file, and the command's options that are not None.

        # Raises

        `ConfigurationError`
            If there is no such file, or it is not valid.
        """
        check_is_file(path)
        params = read_params(path)
        for name, value in overrides.items():
            if value is not None:
                params[name] = value
        settings = params.duplicate().as_dict(quiet=True)
        try:
            experiment = cls.from_params(params)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from error
        experiment.settings = settings
        return experiment

    def known(self) -> JsonDict:
        """What the results depend on."""
        return provenance(self.archive_file, self.settings, self.seed)

    def model(self, cuda_device: int) -> Tuple[Model, DatasetReader]:
        """The model and its reader."""
        return open_model(self.archive_file, cuda_device, self.STATES_ONLY)

    def prepared(
        self, predictor: Predictor, texts: TextReader, skipped: List[JsonDict]
    ) -> Iterator[Prepared]:
        """The data's texts as the model reads them; those that it can't read are added to `skipped`."""
        for example in self.data.examples(predictor, self.seed, self.limit):
            try:
                if example.instance is None:
                    raise ConfigurationError(str(example.error))
                yield texts.prepare([example.instance])
            except ConfigurationError as error:
                skipped.append({"text": example.number, "error": str(error)})


def check_at_least_one(**values: Optional[int]) -> None:
    """
    # Raises

    `ConfigurationError`
        If one of the values, named by their settings, is given and less than 1.
    """
    for name, value in values.items():
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} must be at least 1; got {value}")
