import json
from typing import Any, Iterable, Optional

from allennlp.common.cached_transformers import get_tokenizer
from allennlp.common.checks import ConfigurationError
from allennlp.common.file_utils import cached_path
from allennlp.data import DatasetReader, Instance, Token
from allennlp.data.fields import LabelField, TextField
from allennlp.data.token_indexers import PretrainedTransformerIndexer

from allennlp_layer_saliency.models.huggingface import in_archive


@DatasetReader.register("huggingface-classifier")
class HuggingFaceClassifierReader(DatasetReader):
    """
    Texts or pairs of texts, encoded as the classifier's own tokenizer does.

    Reads JSON lines with a `sentence` (or `text`), or a `premise` and a `hypothesis`, and maybe a
    `label`.

    Registered as a `DatasetReader` with name "huggingface-classifier".

    # Parameters

    model_name : `str`
        A folder of the archive, a local folder or a name on the hub.
    max_length : `int`, optional
        Longer texts are cut off to so many word pieces. Left out, they are an error.
    serialization_dir : `str`, optional
        Where the archive was unpacked; AllenNLP supplies it.
    """

    def __init__(
        self,
        model_name: str,
        max_length: Optional[int] = None,
        serialization_dir: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        folder = in_archive(model_name, serialization_dir)
        self._tokenizer = get_tokenizer(folder)
        self._token_indexers = {"tokens": PretrainedTransformerIndexer(folder)}
        self._max_length = max_length

    def text_to_instance(  # type: ignore
        self, text: str, second_text: Optional[str] = None, label: Optional[str] = None
    ) -> Instance:
        encoding = self._tokenizer(
            text,
            second_text,
            truncation=self._max_length is not None,
            max_length=self._max_length,
            return_token_type_ids=True,
            return_offsets_mapping=self._tokenizer.is_fast,
            # How long a text may be is checked against the model, with a message that helps.
            verbose=False,
        )
        ids = encoding["input_ids"]
        spans = encoding.get("offset_mapping", [(0, 0)] * len(ids))
        tokens = [
            Token(
                text=piece,
                idx=start if end > start else None,
                idx_end=end if end > start else None,
                text_id=index,
                type_id=type_id,
            )
            for piece, index, type_id, (start, end) in zip(
                self._tokenizer.convert_ids_to_tokens(ids), ids, encoding["token_type_ids"], spans
            )
        ]
        fields = {"tokens": TextField(tokens)}
        if label is not None:
            fields["label"] = LabelField(str(label))
        return Instance(fields)

    def apply_token_indexers(self, instance: Instance) -> None:
        instance["tokens"].token_indexers = self._token_indexers  # type: ignore

    def _read(self, file_path: str) -> Iterable[Instance]:
        with open(cached_path(file_path), encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                entry = json.loads(line)
                first = next(
                    (entry[key] for key in ("sentence", "text", "premise") if key in entry), None
                )
                if first is None:
                    raise ConfigurationError(
                        f"{file_path}, line {number}: a sentence, text or premise is wanted; there is "
                        f"{', '.join(entry) or 'nothing'}"
                    )
                yield self.text_to_instance(first, entry.get("hypothesis"), entry.get("label"))
