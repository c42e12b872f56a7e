"""What a plan looks up in the outside world: digests of data files and of the encoder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xtransfer.config.anatomy import anatomy_of, check_adapters, check_layers
from xtransfer.config.experiment import Experiment
from xtransfer.data import source_digests
from xtransfer.errors import ConfigError, DataError
from xtransfer.identity import file_digest
from xtransfer.planner.remembered import RememberedData
from xtransfer.tasks.task import Split, Task

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
"""Files of an encoder; large ones have an index of several files of weights in the place of one."""
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
        # The whole source: arms of one task may differ in a revision alone, and rules for sentences by format.
        key = (task.name, task.form, task.source.model_dump_json(), split, language)
        if key not in self._known:
            root = self.experiment.data.folder
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
        if (folder := settings.folder) is not None:
            found = self._folder(folder)
            self._check_anatomy(folder)
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
        encoder_files = (CONFIG, *_weight_files(folder))
        for name in (*encoder_files, *names):
            path = folder / name
            if path.is_file():
                digests[name] = file_digest(path)
            elif name in encoder_files:
                pickled = any(folder.glob("pytorch_model*.bin"))
                raise ConfigError(
                    "encoder",
                    f"{path} does not exist",
                    _UNPICKLE if pickled and name == WEIGHTS else _HOLDS,
                )
        weights = {name: digests[name] for name in encoder_files}
        tokenizer = {name: digests[name] for name in names if name in digests}
        if not tokenizer.keys() - _SETTINGS:
            has = f", only {', '.join(tokenizer)}" if tokenizer else ""
            raise ConfigError(
                "encoder", f"{folder} holds no tokenizer{has}", "Expected tokenizer.json."
            )
        where = {"name": str(folder.absolute()), "revision": None, "digests": digests}
        return weights, tokenizer, where


_HOLDS = "An encoder folder holds config.json, model.safetensors and a tokenizer."
_UNPICKLE = (
    "Its weights are pickled (pytorch_model.bin), and such files, which may run code, are never read: take its "
    "publisher's safetensors, or convert it by AutoModel.from_pretrained(...).save_pretrained(...)."
)


def _weight_files(folder: Path) -> tuple[str, ...]:
    """Return the names of the files with an encoder's weights: of several, the index first.

    Raises:
        ConfigError: where the index names none, or one outside the folder.
    """
    index = folder / INDEX
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return (WEIGHTS,)
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted(set(found))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        names = []
    if not names or not all(
        re.fullmatch(r"[\w-][\w.-]*\.safetensors", str(name)) for name in names
    ):
        raise ConfigError(
            "encoder", f"{index} does not name the files of weights beside it", "Fetch it again."
        )
    return (INDEX, *names)
