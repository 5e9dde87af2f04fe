"""
Explanations in other forms, and back: a tidy table (pandas; CSV, Parquet), and a Hugging Face data set with
the columns that Thermostat's have.

An explanation here is an output of the `saliency` predictor: a line of what `allennlp predict` wrote, parsed,
or what `read_run` gives of a folder of `allennlp saliency run`.
"""

from allennlp_layer_saliency.export.frames import (
    COLUMNS,
    from_frame,
    read_frame,
    to_frame,
    write_frame,
)
from allennlp_layer_saliency.export.thermostat import (
    from_thermostat,
    make_known_to_thermostat,
    to_thermostat,
)
from allennlp_layer_saliency.runs.folder import read_run

__all__ = [
    "COLUMNS",
    "from_frame",
    "from_thermostat",
    "make_known_to_thermostat",
    "read_frame",
    "read_run",
    "to_frame",
    "to_thermostat",
    "write_frame",
]
