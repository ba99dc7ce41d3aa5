"""An app at several git revisions, each in a copy of its own. The user's repository is only read.

with apps_at(app, ("main", "HEAD")) as apps:
    apps["main"].folder      # a temporary folder; gone afterwards
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.model import AppSource
from bench.model.errors import UsageError
from bench.running.temporary import OwnedFolder

GIT_TIMEOUT_S = 120.0
"""A checkout of a large repository takes seconds; a cold network disk takes longer."""
COMMIT_CHARACTERS = 7
"""Characters of a commit that tell two revisions with the same folder name apart."""
MAX_NAME_CHARS = 60


@contextmanager
def apps_at(app: AppSource, revisions: Sequence[str]) -> Iterator[dict[str, AppSource]]:
    """The app at each revision, by a name that can be a folder. UsageError for a revision that cannot be used."""
    folder = Path(app.folder).resolve()
    top = Path(_git(folder, "rev-parse", "--show-toplevel")).resolve()
    commits = {revision: _commit(folder, revision) for revision in revisions}
    with OwnedFolder("revisions") as temporary:
        apps: dict[str, AppSource] = {}
        for name, (revision, commit) in zip(_names(commits), commits.items(), strict=True):
            copy = temporary.path / name
            _check_out(top, commit, copy)
            copied = copy / folder.relative_to(top)
            if not copied.is_dir():
                raise UsageError(f"--rev {revision}: it has no folder {folder.relative_to(top)}")
            apps[name] = replace(app, folder=str(copied))
        yield apps


def _names(commits: Mapping[str, str]) -> list[str]:
    """A folder name for each revision; the commit is added where two would have the same name."""
    names = [
        re.sub(r"[^A-Za-z0-9._-]+", "-", revision)[:MAX_NAME_CHARS].strip("-.") or "revision" for revision in commits
    ]
    return [
        f"{name}-{commit[:COMMIT_CHARACTERS]}" if names.count(name) > 1 or name == "revision" else name
        for name, commit in zip(names, commits.values(), strict=True)
    ]


def _check_out(top: Path, commit: str, copy: Path) -> None:
    """Clone the repository into ``copy`` at ``commit``. It shares the objects, and runs no hooks."""
    _git(top, "clone", "--quiet", "--shared", "--no-checkout", "--template=", str(top), str(copy))
    _git(copy, "-c", f"core.hooksPath={os.devnull}", "checkout", "--quiet", "--detach", commit)


def _commit(folder: Path, revision: str) -> str:
    try:
        # First the object, since ":/text" takes all that follows as text; then its commit, if it is a tag.
        found = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
        return _git(folder, "rev-parse", "--verify", "--quiet", f"{found}^{{commit}}")
    except UsageError:
        raise UsageError(f"--rev: {revision!r} is not a revision of the repository of {folder}") from None


def _git(folder: Path, *words: str) -> str:
    """Output of a git command. The environment's GIT_ variables, which could name another repository, are left out."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git cannot be used: {error}") from None
    if done.returncode:
        raise UsageError(f"git {words[0]}: {' '.join(done.stderr.split()) or 'failed'}")
    return done.stdout.strip()
