"""The configuration of a command."""

import os
from typing import Optional

from allennlp.common import Params
from allennlp.common.checks import ConfigurationError


def read_config(path: str, limit: Optional[int]) -> Params:
    """
    A jsonnet file, with `limit` in it if one is given.

    # Raises

    `ConfigurationError`
        If there is no such file, or it is not valid.
    """
    if not os.path.isfile(path):
        raise ConfigurationError(f"no file {path}")
    try:
        params = Params.from_file(path)
    except RuntimeError as error:
        problem = str(error).strip().splitlines()[0]
        raise ConfigurationError(f"{path} is not valid: {problem}") from error
    if limit is not None:
        params["limit"] = limit
    return params
