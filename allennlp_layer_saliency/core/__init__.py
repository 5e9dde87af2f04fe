"""The method itself, on tensors and callables: torch only, no AllenNLP, no files, no devices chosen."""
