"""What stands in an output line, and what must not."""

import codecs
import json
import locale
import math
from typing import Any, Optional

import orjson
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.data import Line

_UTF_8 = codecs.lookup(locale.getpreferredencoding(False)).name == "utf-8"


def error_record(id_: Any, number: Optional[int], message: str) -> JsonDict:
    """The record of an input that has no explanation; an id or number of None is left out."""
    known = {"id": id_, "line": number}
    return {**{key: value for key, value in known.items() if value is not None}, "error": message}


def number_of(line: JsonDict) -> Optional[int]:
    """Which line of the file an input was, if it was read from one."""
    return line.number if isinstance(line, Line) else None


def written(output: JsonDict) -> str:
    """
    An output as JSON on one line; of ASCII characters only where the system's encoding, in which AllenNLP
    opens its output file, is not UTF-8.
    """
    if _UTF_8:
        try:
            return orjson.dumps(output).decode()
        except TypeError:
            pass  # half of a surrogate pair, or an integer of more than 64 bits, as in an input's id
    return json.dumps(output, allow_nan=False)


def non_finite(value: Any, path: str = "") -> Optional[str]:
    """Path of the first number in a JSON value that is NaN or infinite."""
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found = non_finite(item, f"{path}.{key}" if path else str(key))
        if found is not None:
            return found
    return None
