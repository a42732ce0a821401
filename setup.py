"""The readme of the package metadata: README.md with its relative links made absolute, since an index has no files."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def absolute_links(text: str) -> str:
    """Markdown links and images, and ``src`` and ``href`` attributes, that name files of the repository."""
    relative = r"(?![a-z]+:|#|/)"  # no address, no heading of the page itself
    text = re.sub(rf"(!\[[^\]]*\]\(){relative}", rf"\g<1>{REPOSITORY}/raw/HEAD/", text)
    text = re.sub(rf'(\bsrc="){relative}', rf"\g<1>{REPOSITORY}/raw/HEAD/", text)
    return re.sub(rf'(\]\(|\bhref="){relative}', rf"\g<1>{REPOSITORY}/blob/HEAD/", text)


setup(
    long_description=absolute_links((ROOT / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
