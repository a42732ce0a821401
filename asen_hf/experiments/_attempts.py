"""What was cut off goes on from its last checkpoint, if it is still the same; its line names all who made it."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..training._run_folder import checkpoints


@dataclass
class Attempts:
    """The attempts at one training, kept beside its folder until it is done.

    Args:
        content: what is trained (:meth:`~asen_hf.experiments.grid.Grid.fingerprint`).
        revisions: of the code, each once.
        seconds: wall time of earlier attempts, as far as the checkpoint that the last one goes on from.
        since: when the last one began, as :func:`time.time` tells it.
    """

    content: str
    revisions: list[str] = field(default_factory=list)
    seconds: float = 0.0
    since: float = 0.0

    @property
    def resume_from_checkpoint(self) -> str | None:
        """For the training's recipe."""
        return "latest" if self.seconds else None


@contextlib.contextmanager
def attempt(output: Path, content: str, revision: str) -> Iterator[Attempts]:
    """Begin or go on with a training in the folder ``output``, from which what else was in it is removed.

    When the body ends without an error, the attempts are forgotten: whoever trains there again begins anew.
    """
    saved, path = checkpoints(output), output.parent / f".{output.name}.attempts.json"
    try:
        attempts = Attempts(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # there was none, or it died while it wrote
        attempts = Attempts("")
    if attempts.content == content and saved:
        attempts.seconds += max(saved[-1].stat().st_mtime - attempts.since, 1e-3)
    else:
        attempts = Attempts(content)
        shutil.rmtree(output, ignore_errors=True)
    attempts.revisions = list(dict.fromkeys([*attempts.revisions, revision]))
    attempts.since = time.time()
    output.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(attempts)), encoding="utf-8")
    yield attempts
    path.unlink()
