"""The steps of a plan that make its inputs: the encoder, and each data set tokenised once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any, Protocol

from xtransfer.config.arms import Text
from xtransfer.config.experiment import Experiment
from xtransfer.errors import ConfigError
from xtransfer.plan import Step
from xtransfer.planner.lessons import LessonPart
from xtransfer.tasks import TASKS
from xtransfer.tasks.languages import is_row_of, names_language, put_language
from xtransfer.tasks.task import Split, Task
from xtransfer.tasks.user import patched


class Fingerprints(Protocol):
    """What a plan must know of the outside world to give its inputs an identity."""

    def data(self, task: Task, split: Split, language: str) -> Any:
        """Return JSON that identifies the bytes of one data set."""
        ...

    def encoder(self) -> tuple[Any, Any, Mapping[str, Any]]:
        """Return the encoder's identity, its tokenizer's identity, and where it is."""
        ...


class InputSteps:
    """Adds pretrain and prepare steps to a plan, and gives their keys.

    Args:
        experiment: what is planned.
        fingerprints: what is known of the outside world.
        add: adds a step, unless it is there, and returns its key.
    """

    def __init__(
        self, experiment: Experiment, fingerprints: Fingerprints, add: Callable[[Step], str]
    ) -> None:
        self.experiment = experiment
        self.fingerprints = fingerprints
        self.add = add
        self.encoder: str | None = None
        """Key of the step that makes the encoder; None: it is a public one."""
        self.encoder_id: Any = None
        self.encoder_where: Mapping[str, Any] = {}
        self._tokenizer_id: Any = None
        self._read_as: dict[tuple[str, ...], str] = {}
        """Files that name no language -> the one that they are read as."""
        self._plan_encoder()

    def part_data(self, part: LessonPart) -> dict[str, str]:
        """Plan a part's training and dev data; return their keys by role."""
        task = part.task
        length, stride = part.stage.max_length, part.stage.stride
        train = self.prepare(
            task,
            part.split,
            part.languages,
            max_length=length,
            stride=stride,
            spread=part.spread,
            sample=part.sample,
            own_files=part.own_files,
        )
        roles = {f"train {task.name}": train}
        if part.dev_languages:
            labels = train if task.labels_from_data else None
            roles[f"dev {task.name}"] = self.prepare(
                task,
                "dev",
                part.dev_languages,
                max_length=length,
                stride=stride,
                labels=labels,
                own_files=part.own_files,
            )
        return roles

    def text_data(self, task: Task, text: Text) -> dict[str, str]:
        """Plan an arm's text and the part of it that is held out; return their keys by role."""
        if text.files:
            task = patched(task, {"files": {"train": text.files}}, "text.source")
        return {
            f"{split} text": self.prepare(
                task,
                split,
                text.languages,
                max_length=text.max_length,
                held=text.holdout,
                own_files=bool(text.files),
            )
            for split in ("train", "dev")
        }

    def prepare(
        self,
        task: Task,
        split: Split,
        languages: tuple[str, ...],
        *,
        max_length: int,
        stride: int = 0,
        spread: bool | int = False,
        sample: tuple[int, int] | None = None,
        held: int | None = None,
        labels: str | None = None,
        own_files: bool = False,
    ) -> str:
        """Plan a prepare step.

        Args:
            task: whose data; an arm's own files are in its source.
            split: of the data.
            languages: of the data.
            max_length: longest input in tokens.
            stride: tokens between the beginnings of two windows of a span task.
            spread: examples to take evenly over all languages; True: as many as the first has.
            sample: (examples, seed) to draw, instead of the experiment's own limit.
            held: examples of the training file to hold out, instead of the experiment's own number.
            labels: key of the training data, where the labels are those that occur there.
            own_files: the task's source names an arm's own files, which the experiment's do not replace.
        """
        data = self.experiment.data
        if held is None and sample is None and split in ("train", "dev"):
            held = data.holdout.get(task.name)
        rows = self._rows(task, split, held=held, sample=sample, spread=spread)
        role, split = split, "train" if held is not None else split
        source = task.source if own_files else data.source_of(task, split)
        task = task.model_copy(update={"source": source})
        if data.synthetic is None and split != "pool":
            self._check_languages(task, split, languages)
        spec: dict[str, Any] = {
            "task": task.name,
            "form": task.form,
            "split": split,
            "labels": list(task.labels),
            "source": source.identity(),
            "data": {
                language: self._data_identity(task, split, language) for language in languages
            },
            "role": role,
            **rows,
            "max_length": max_length,
            "stride": stride if task.form == "span" else None,
        }
        if task.form == "tagging":
            spec["words"] = "as in text"  # their keys differ from those of before that was so
        inputs: dict[str, str] = {} if labels is None else {"labels": labels}
        if self.encoder is None:
            spec["tokenizer"] = self._tokenizer_id
        else:
            inputs["encoder"] = self.encoder
        return self.add(
            Step(
                kind="prepare",
                name=f"{task.name}-{role}",
                spec=spec,
                inputs=inputs,
                where={
                    "root": str(data.folder),
                    "files": list(source.files.get(split, ())),
                    "hub": [place.model_dump() for place in source.hub],
                    "encoder": dict(self.encoder_where),
                },
                phase="data",
            )
        )

    def _rows(
        self,
        task: Task,
        split: Split,
        *,
        held: int | None,
        sample: tuple[int, int] | None,
        spread: bool | int,
    ) -> dict[str, Any]:
        """Return which rows a data set takes of those that its files have; the arguments are those of `prepare`."""
        limits = self.experiment.data.limits
        count, seed = sample or (limits.of(task.name, split), limits.seed)
        rows: dict[str, Any] = {
            "holdout": None if held is None else {"examples": held, "seed": limits.seed},
            "limit": None if count is None else {"examples": count, "seed": seed},
        }
        if spread:
            total = None if spread is True else spread
            rows["spread"] = {"examples": total, "seed": limits.seed}
        return rows

    def _check_languages(self, task: Task, split: Split, languages: tuple[str, ...]) -> None:
        """Refuse files that name no language where they would be read as more than one, and rows of several.

        Of a built-in task's own files it is known what they are in; of others one language is believed.

        Raises:
            ConfigError: naming the files and the languages, or the choice of rows.
        """
        source = task.source
        for choice in (source.rows, *(each.rows for each in source.hub)):
            _check_rows(choice, languages, f"{task.name} {split}")
        hub = [text for each in source.hub for text in (each.name, *each.rows.values()) if text]
        files = source.files.get(split, ())
        names = hub if source.hub else (*files, *source.rows.values())
        if source.format == "mentions" or not names or any(map(names_language, names)):
            return
        place = (*(each.path for each in source.hub), *names)
        known = TASKS.get(task.name)
        if known is not None and source == known.source:
            self._read_as.setdefault(place, known.train_language)
        others = {*languages, self._read_as.setdefault(place, languages[0])}
        if len(others) == 1:
            return
        given = ", ".join(name or "''" for name in names)
        raise ConfigError(
            f"{task.name} {split}",
            f"{given} would be read as {', '.join(sorted(others))}, and names no language",
            "Put {lang} in its place into the path, in data.files or the source of the arm or task.",
        )

    def _data_identity(self, task: Task, split: Split, language: str) -> Any:
        synthetic = self.experiment.data.synthetic
        if synthetic is not None:
            return {"synthetic": synthetic.model_dump(), "language": language}
        return self.fingerprints.data(task, split, language)

    def _plan_encoder(self) -> None:
        pretrain = self.experiment.encoder.pretrain
        if pretrain is None:
            self.encoder_id, self._tokenizer_id, self.encoder_where = self.fingerprints.encoder()
            return
        synthetic = self.experiment.data.synthetic
        self.encoder = self.add(
            Step(
                kind="pretrain",
                name="tiny-xlmr",
                spec={
                    "steps": pretrain.steps,
                    "seed": pretrain.seed,
                    "options": dict(pretrain.options),
                    "synthetic": synthetic.model_dump() if synthetic else None,
                },
                phase="encoder",
            )
        )


def _check_rows(choice: Mapping[str, str], languages: tuple[str, ...], where: str) -> None:
    """Refuse a choice of rows by which those of one language would be taken for another's.

    Raises:
        ConfigError: naming the two, and what to write.
    """
    if not any(map(names_language, choice.values())):
        return
    for one, other in permutations(languages, 2):
        begins = {column: put_language(template, other) for column, template in choice.items()}
        if is_row_of(begins, choice, one):
            raise ConfigError(
                where,
                f"rows {dict(choice)} of '{one}' would hold those of '{other}', too",
                "Choose by a column that is the language and nothing else, such as {language: '{lang}'}.",
            )
