"""How byte-level tokenizers write bytes."""

from typing import Dict


def _byte_of_character() -> Dict[str, int]:
    """Byte-level tokenizers (those of GPT-2 and RoBERTa) write each byte as a printable character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    found = {chr(byte): byte for byte in printable}
    found.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return found


BYTES = _byte_of_character()
