"""Refuse a class name or a module name that stands twice in bench/: ``python tests/support/check_names.py``."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Name -> why it may stand more than once.
ALLOWED = {
    "__init__": "every package has one",
    "__main__": "Python's name for what `python -m` runs",
    "scenario": "the catalogue's format: a scenario's folder declares it in scenario.py",
}


def find_names(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each module name and class name in a folder, and where it stands."""
    for path in sorted(folder.rglob("*.py")):
        where = path.relative_to(folder.parent)
        yield path.stem, f"module {where}"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield node.name, f"class {where}:{node.lineno}"


def find_duplicates(folder: Path) -> dict[str, list[str]]:
    """Return the names that stand twice as a class or twice as a module, with their places."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, place in find_names(folder):
        kind = place.split()[0]
        places[kind, name].append(place)
    return {name: found for (_, name), found in places.items() if len(found) > 1}


def main() -> int:
    """Print the duplicates that are not allowed and return the exit code."""
    duplicates = find_duplicates(ROOT / "bench")
    refused = {name: places for name, places in duplicates.items() if name not in ALLOWED}
    for name, places in refused.items():
        print(f"error: {name} stands more than once: {', '.join(places)}")
    unused = sorted(set(ALLOWED) - set(duplicates) - {"__main__"})
    for name in unused:
        print(f"error: {name} is allowed to stand twice but does not: remove it from ALLOWED")
    return 1 if refused or unused else 0


if __name__ == "__main__":
    sys.exit(main())
