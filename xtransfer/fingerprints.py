"""What a plan looks up in the outside world: digests of data files and of the encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xtransfer.anatomy import anatomy_of, check_adapters, check_layers
from xtransfer.config import Experiment
from xtransfer.data import source_digests
from xtransfer.errors import ConfigError, DataError
from xtransfer.identity import file_digest
from xtransfer.remembered import RememberedData
from xtransfer.tasks.task import Split, Task

ENCODER_FILES = ("config.json", "model.safetensors")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentencepiece.bpe.model",
    "vocab.txt",
)
VOCABULARY_FILES = (
    *("sentencepiece.model", "spm.model", "spiece.model", "tokenizer.model"),
    *("vocab.json", "merges.txt", "added_tokens.json"),
)
"""Further files that a tokenizer is made from where there is no tokenizer.json, such as mDeBERTa's."""
_SETTINGS = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}
"""Files of a tokenizer that hold no vocabulary."""


class Fingerprints:
    """Looks identities up, each once.

    Args:
        experiment: whose data and encoder are looked up.
        remembered: tells the identity of data whose files are gone, for the sake of steps that are done.
        lenient: take a missing file for a placeholder identity and note it in `missing`, so that a
            plan can be counted before its data are there. Such a plan cannot be run.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        lenient: bool = False,
        remembered: RememberedData | None = None,
    ) -> None:
        self.experiment = experiment
        self.remembered = remembered
        self.recalled: list[str] = []
        """Data sets whose files are gone, as errors that were none."""
        self.lenient = lenient
        self.missing: list[str] = []
        self._known: dict[tuple[Any, ...], Any] = {}

    def data(self, task: Task, split: Split, language: str) -> Any:
        """Return name and digest of each file of one data set, or its pinned place on the hub."""
        key = (task.name, split, language, task.source.files.get(split))
        if key not in self._known:
            root = Path(self.experiment.data.root).absolute()  # as the plan has it, and its steps
            try:
                found = source_digests(task, split=split, language=language, root=root)
            except DataError as error:
                found = self.remembered and self.remembered.find(task, split, language)
                if found:
                    self.recalled.append(str(error))
                elif not self.lenient:
                    raise
                else:
                    self.missing.append(str(error))
                    found = [{"absent": [task.name, split, language]}]
            self._known[key] = found
        return self._known[key]

    def encoder(self) -> tuple[Any, Any, Mapping[str, Any]]:
        """Return the encoder's identity, its tokenizer's identity, and where it is."""
        settings = self.experiment.encoder
        name = settings.name or ""
        if Path(name).is_dir():
            found = self._folder(Path(name))
            self._check_anatomy(Path(name))
            return found
        if not re.fullmatch(r"[0-9a-f]{40}", settings.revision or ""):
            has = f"the revision '{settings.revision}', which may move"
            error = ConfigError(
                "encoder",
                f"'{name}' is no folder here, and as a hub repository it has "
                f"{has if settings.revision else 'no revision'}",
                "Give a folder, or pin encoder.revision to a full commit hash.",
            )
            if not self.lenient:
                raise error
            self.missing.append(str(error))
            placeholder = {"absent": name}
            return placeholder, placeholder, {"name": name, "revision": None, "digests": {}}
        identity = {"hub": name, "revision": settings.revision}
        return identity, identity, {"name": name, "revision": settings.revision, "digests": {}}

    def _check_anatomy(self, folder: Path) -> None:
        """Refuse settings of layers that the encoder does not have, before anything is trained."""
        found = anatomy_of(folder)
        check_adapters(self.experiment.training.lora, found)
        if self.experiment.compares_sentences:
            check_layers(self.experiment.retrieval, found)

    def _folder(self, folder: Path) -> tuple[Any, Any, Mapping[str, Any]]:
        digests: dict[str, str] = {}
        names = TOKENIZER_FILES
        if not (folder / "tokenizer.json").is_file():
            names += VOCABULARY_FILES
        for name in (*ENCODER_FILES, *names):
            path = folder / name
            if path.is_file():
                digests[name] = file_digest(path)
            elif name in ENCODER_FILES:
                raise ConfigError(
                    "encoder",
                    f"{path} does not exist",
                    "An encoder folder holds config.json, model.safetensors and a tokenizer.",
                )
        weights = {name: digests[name] for name in ENCODER_FILES}
        tokenizer = {name: digests[name] for name in names if name in digests}
        if not tokenizer.keys() - _SETTINGS:
            has = f", only {', '.join(tokenizer)}" if tokenizer else ""
            raise ConfigError(
                "encoder", f"{folder} holds no tokenizer{has}", "Expected tokenizer.json."
            )
        where = {"name": str(folder.absolute()), "revision": None, "digests": digests}
        return weights, tokenizer, where
