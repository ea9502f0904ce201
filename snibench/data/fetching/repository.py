"""A git repository: one commit, and of it only the files that are needed.

The official repository holds gigabytes. A partial clone asks for its folders first and for the contents of the files
in batches; what a batch brought stays. Git names contents by their digest, so each file is checked against the commit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from snibench.base.errors import DataError, UsageError
from snibench.data.fetching.order import Order, Progress, Receipt, belongs, wanted_tasks

_AT_ONCE = 40  # files in one request: the most that are asked for again after a break


def fetch(order: Order, working: Path, tree: Path, progress: Progress) -> Receipt:
    """Bring the files of one commit into ``tree``, those that are there already excepted.

    Raises:
        DataError: If the repository or revision is not there, or a request breaks off.
        UsageError: If git is not installed.
    """
    if shutil.which("git") is None:
        raise UsageError(
            "Fetching from a repository needs git. Install it, or fetch an archive with --from URL.tar.gz."
        )
    if order.source.startswith("-") or order.revision.startswith("-"):
        raise UsageError("A repository or revision cannot begin with '-'.")
    git = _Git(working / "repository", tree, order.source)
    tree.mkdir(parents=True, exist_ok=True)
    commit = git.commit(order.revision or "HEAD")
    blobs = git.blobs(commit)
    tasks = wanted_tasks(order.track, lambda path: git.text(commit, path) if path in blobs else None)
    needed = {path: blob for path, blob in blobs.items() if belongs(path, tasks)}
    missing = git.lacking(needed)
    for start in range(0, len(missing), _AT_ONCE):
        progress("files", len(needed) - len(missing) + start, len(needed))
        git.check_out(commit, missing[start : start + _AT_ONCE])
    progress("files", len(needed), len(needed))
    if damaged := git.lacking(needed):
        raise DataError(f"{tree / damaged[0]} is not what commit {commit} holds. Run the same command again.")
    return Receipt(order.source, commit, order.track, {})


class _Git:
    """A bare partial clone, and the folder into which its files are checked out."""

    def __init__(self, home: Path, tree: Path, source: str) -> None:
        self.home, self.tree, self.source = home, tree, source
        if not (home / "HEAD").exists():
            self._run("init", "--quiet", "--bare", str(home), bare=False)
        self._run("config", "remote.origin.url", source)
        self._run("config", "remote.origin.promisor", "true")
        self._run("config", "remote.origin.partialclonefilter", "blob:none")
        self._run("config", "core.autocrlf", "false")

    def commit(self, revision: str) -> str:
        """The commit that ``revision`` names there; one that is here already is not asked for again."""
        kept = self.home / "fetched"
        if not kept.exists():
            self._run("fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", revision)
            kept.write_text(self._run("rev-parse", "FETCH_HEAD").strip())
        return kept.read_text()

    def blobs(self, commit: str) -> dict[str, str]:
        """Path -> digest of every file of the commit; links and submodules are left out."""
        found = {}
        for line in self._run("ls-tree", "-r", "-z", "--full-tree", commit).split("\0"):
            facts, _, path = line.partition("\t")
            if facts.startswith("100"):
                found[path] = facts.split()[2]
        return found

    def text(self, commit: str, path: str) -> str:
        """The text of one file."""
        return self._run("show", f"{commit}:{path}")

    def lacking(self, blobs: Mapping[str, str]) -> list[str]:
        """The paths whose file is not in the folder, whole."""
        here = [path for path in blobs if (self.tree / path).is_file()]
        names = "".join(f"{(self.tree / path).resolve()}\n" for path in here)
        digests = self._run("hash-object", "--no-filters", "--stdin-paths", given=names).split()
        whole = {path for path, found in zip(here, digests, strict=True) if found == blobs[path]}
        return [path for path in blobs if path not in whole]

    def check_out(self, commit: str, paths: Sequence[str]) -> None:
        """Write files of the commit into the folder; their contents come in one request."""
        listed = "".join(f"{path}\0" for path in paths)
        self._run(
            "--work-tree", str(self.tree.resolve()), "checkout", "--quiet", commit, "--pathspec-from-file=-",
            "--pathspec-file-nul", given=listed,
        )  # fmt: skip

    def _run(self, *arguments: str, given: str = "", bare: bool = True) -> str:
        place = ["--git-dir", str(self.home.resolve())] if bare else []
        # No prompt may wait for a person, no hook or helper of the repository may run, and globs are file names.
        environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "0"}
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            environment.pop(name, None)
        done = subprocess.run(
            ["git", *place, *arguments], input=given, capture_output=True, text=True, encoding="utf-8",
            env=environment, check=False,
        )  # fmt: skip
        if done.returncode:
            cause = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise DataError(
                f"git cannot fetch from {self.source} ({cause}). What came is kept: the same command goes on from "
                "there."
            )
        return done.stdout
