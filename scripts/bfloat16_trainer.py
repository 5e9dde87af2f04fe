"""
AllenNLP's trainer with every forward pass in bfloat16, for a CPU that computes in it (AVX-512 BF16, AMX).

The weights, their gradients and the optimiser stay in float32. `use_amp` of AllenNLP's own trainer is for
CUDA only.
"""

from typing import Dict

import torch
from allennlp.data import TensorDict
from allennlp.training import GradientDescentTrainer, Trainer


@Trainer.register("bfloat16", constructor="from_partial_objects")
class BFloat16Trainer(GradientDescentTrainer):
    def batch_outputs(self, batch: TensorDict, for_training: bool) -> Dict[str, torch.Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().batch_outputs(batch, for_training)
