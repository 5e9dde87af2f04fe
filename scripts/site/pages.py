"""
Pages of the documentation that are no files of docs/: those at the top of the repository, and one of the API
for each module. Links to files that are not part of it, such as tests, become plain text; a link to what is
nowhere is an error.
"""

import os
import re
from pathlib import Path
from typing import Any, Dict, Optional

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "allennlp_layer_saliency"
TOP = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, name in TOP.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not any(part.startswith("_") for part in name.split(".")):
            content = f"# {name}\n\n::: {name}\n"
            files.append(File.generated(config, f"api/{name}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> Optional[str]:
    here = page.file.src_uri
    if here.startswith("api/"):
        return None
    source = ROOT / TOP[here] if here in TOP else ROOT / "docs" / here
    # Where each file is in the documentation.
    places: Dict[Path, str] = {ROOT / name: uri for uri, name in TOP.items()}
    for file in files:
        if file.src_uri not in TOP and not file.src_uri.startswith("api/"):
            places[ROOT / "docs" / file.src_uri] = file.src_uri

    def replaced(link: "re.Match[str]") -> str:
        target, _, anchor = link["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return link[0]
        path = Path(os.path.normpath(source.parent / target))
        if path in places:
            to = os.path.relpath(places[path], os.path.dirname(here))
            return f"{link['image']}[{link['text']}]({to}{'#' + anchor if anchor else ''})"
        if path.exists():
            return link["text"]
        raise PluginError(f"{source.relative_to(ROOT)} links to {target}, which does not exist")

    return LINK.sub(replaced, markdown)
