"""What each server state means, and which fix fits it: one Markdown file a category."""

from __future__ import annotations

from pathlib import Path

ADVICE = Path(__file__).with_name("advice")


def advice(category: str) -> str:
    """What a category means and which fix fits it, as Markdown. KeyError for what is no category."""
    path = ADVICE / f"{category.lower().replace(' ', '_').replace('-', '_')}.md"
    if not path.is_file():
        raise KeyError(category)
    return path.read_text(encoding="utf-8").strip()
