"""Analyses of trained models beside their scores: what an experiment asks for.

    forgetting   the dev set of the intermediate task once more after the target was trained: the encoder
                 as the target left it, the head as the intermediate task left it
    alignment    cosine of mean-pooled states of translation pairs against that of other pairs, in each layer

Each is an evaluate step with a field `analysis`. They fill no cell of the table of scores.
"""

from __future__ import annotations

from pydantic import model_validator

from xtransfer.settings import Settings, check_languages, distinct

GAP = "gap"
"""Main metric of alignment: mean cosine of translation pairs less that of all other pairs."""


class Alignment(Settings):
    """Translation pairs in the layers of the encoder, before and after training."""

    task: str = "tatoeba"
    """A bitext task; its test set's pairs are taken."""
    languages: tuple[str, ...] = ()
    """None: those that the experiment scores the task in."""
    targets: tuple[str, ...] = ()
    """Targets after whose training it is measured, too, seed by seed."""

    @model_validator(mode="after")
    def _codes(self) -> Alignment:
        check_languages(self.languages)
        distinct(self.targets)
        return self


class Analyses(Settings):
    """What is measured of the models beside their scores."""

    forgetting: bool = False
    """Of every target with training after every arm with a task."""
    alignment: Alignment | None = None
