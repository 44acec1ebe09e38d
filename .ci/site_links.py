"""A hook of MkDocs: links that leave docs/ go to the repository where it is known, and are plain text elsewhere.

LLMPLAN_SOURCE holds the address of the repository's files, such as https://host/owner/llmplan/blob/main.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import Any

_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_KEPT_OUT = ("schemas/", "examples/")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page with its outward links rewritten."""
    folder = posixpath.dirname(page.file.src_uri)

    def rewritten(match: re.Match[str]) -> str:
        text, target = match.groups()
        if "://" in target or target.startswith(("#", "mailto:")):
            return match[0]
        path = posixpath.normpath(posixpath.join("docs", folder, target.partition("#")[0]))
        inside = path.startswith("docs/") and not path.removeprefix("docs/").startswith(_KEPT_OUT)
        if inside and path.endswith((".md", ".svg", ".png")):
            return match[0]
        source = os.environ.get("LLMPLAN_SOURCE", "").rstrip("/")
        return f"[{text}]({source}/{path})" if source else text

    return _LINK.sub(rewritten, markdown)
