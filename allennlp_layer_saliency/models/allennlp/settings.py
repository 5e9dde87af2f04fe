"""Settings that a configuration gives and no constructor knows."""

from typing import Any, Dict

from allennlp.common.checks import ConfigurationError
from allennlp.common.from_params import infer_params


def refuse_unknown(owner: type, unknown: Dict[str, Any]) -> None:
    """
    For the first constructor of several that pass `**kwargs` on.

    # Raises

    `ConfigurationError`
        If anything is left that none of them knows.
    """
    if unknown:
        known = set(infer_params(owner)) - {"self", "predictor", "kwargs", "unknown"}
        raise ConfigurationError(
            f"{owner.__name__} has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
