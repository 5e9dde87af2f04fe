"""Docstrings as AllenNLP writes them ("# Parameters"), for mkdocstrings, which reads numpy's."""

import re
from typing import Any, List

from griffe import Extension, Object

SECTION = re.compile(r"# (Parameters|Returns|Raises)$")
# "name : `type`, optional", "`type`": the type is a link, where it can be one.
TYPED = re.compile(r"^(?P<name>\S.* : )?`(?P<type>[^`]+)`(?P<rest>,.*)?$")


def in_numpy_style(text: str) -> str:
    lines: List[str] = []
    inside = False
    for line in text.split("\n"):
        section = SECTION.match(line)
        if section:
            inside = True
            lines += [section[1], "-" * len(section[1])]
        elif inside and (line.strip() or not lines[-1].startswith("---")):
            typed = TYPED.match(line)
            if typed:
                line = f"{typed['name'] or ''}{typed['type']}{typed['rest'] or ''}"
            lines.append(line)
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


class AllenNLPDocstrings(Extension):
    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = in_numpy_style(obj.docstring.value)
