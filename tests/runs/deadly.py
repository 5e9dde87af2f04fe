"""An interpreter that kills its process, for tests of what happens then."""

import os
import signal
from pathlib import Path

from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from allennlp_layer_saliency.interpreters import LayerSaliency


@SaliencyInterpreter.register("test-deadly")
class Deadly(LayerSaliency):
    """
    Dies of a text that says "deadly", of more than `at_most` texts at a time, and once, if it is given
    the path of a file, which it makes, of a text that says "once".
    """

    def __init__(self, predictor, once: str = None, at_most: int = None) -> None:
        super().__init__(predictor, layer=1)
        self._once = once
        self._at_most = at_most

    def explain(self, prepared):
        texts = ["".join(token.text for token in p.instances[0]["tokens"].tokens) for p in prepared]
        if any("deadly" in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._at_most is not None and len(texts) > self._at_most:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._once and any("once" in text for text in texts) and not Path(self._once).exists():
            Path(self._once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().explain(prepared)
