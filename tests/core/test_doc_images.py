"""docs/images holds what README and docs show, and nothing else."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def shown() -> set[str]:
    """Return the names of the images that README and docs link to."""
    texts = [(ROOT / "README.md").read_text(), *(page.read_text() for page in (ROOT / "docs").glob("*.md"))]
    return {name for text in texts for name in re.findall(r"images/([\w-]+\.(?:png|gif|jpg|svg))", text)}


def test_every_image_is_shown_and_every_link_to_one_leads_somewhere() -> None:
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} == shown()
