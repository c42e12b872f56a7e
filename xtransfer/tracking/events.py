"""Steps as TensorBoard's event files: `FOLDER/{experiment}/{kind}/{name}-{key}/`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from xtransfer.store.folder import disk_errors
from xtransfer.store.unfinished import temporary_beside
from xtransfer.tracking.facts import Facts


class EventFiles:
    """A folder that `tensorboard --logdir` shows. A step's own appears whole or not at all.

    Args:
        folder: of all experiments.
        experiment: the one to show.
    """

    def __init__(self, folder: Path, experiment: str) -> None:
        self.folder = folder / experiment
        self.name = f"tensorboard {folder}"

    def known(self) -> set[str]:
        """Return the keys of the steps that have a folder."""
        return {path.name.rpartition("-")[2] for path in self.folder.glob("*/*-*")}

    def show(self, facts: Facts) -> bool:
        """Write the folder of a step: its scores, what they were over training steps, and what it computed."""
        from tensorboardX import SummaryWriter

        path = self.folder / facts.name
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = temporary_beside(path)
            try:
                writer = SummaryWriter(str(unfinished))
                for name, value in facts.scores.items():
                    writer.add_scalar(f"scores/{name}", value, 0, walltime=facts.ended)
                for name, points in facts.series.items():
                    for step, value in points:
                        writer.add_scalar(f"training/{name}", value, step, walltime=facts.ended)
                about = json.dumps({**facts.tags, **facts.params}, indent=1, ensure_ascii=False)
                writer.add_text("step", f"```\n{about}\n```", 0, walltime=facts.ended)
                writer.close()
                if not path.exists():
                    unfinished.rename(path)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        return True
