"""Tasks, languages and per-task settings of an experiment, checked against the tasks that exist.

`book` is every task that the experiment can name; `where` is the file and the section in it. All raise
`ConfigError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from xtransfer.config.analyses import Alignment
from xtransfer.config.data import Data
from xtransfer.config.phases import Intermediate, Target
from xtransfer.errors import ConfigError, did_you_mean
from xtransfer.selection import RULES
from xtransfer.tasks import get_task
from xtransfer.tasks.hub import NOT_ON_HUB, check_revisions, on_hub
from xtransfer.tasks.languages import names_language
from xtransfer.tasks.task import Task
from xtransfer.tasks.user import patched

Book = Mapping[str, Task]

_LEAVE = "Leave it out."
_ADD = "Name it there, too, or leave it out here."


def check_arms(phase: Intermediate, book: Book, where: str) -> None:
    """Check the arms and what is overridden for them."""
    for index, arm in enumerate(phase.tasks):
        place = f"{where}.tasks[{index}]"
        for name in arm.tasks:
            if get_task(name, place, book).as_intermediate is None:
                raise _unable(place, name, "an intermediate")
        if arm.source:
            patched(book[arm.tasks[0]], arm.source, f"{place}.source")
    arms = [arm.name for arm in phase.tasks]
    if "all" in phase.overrides and "all" in arms:
        what = "is for every arm, and one has that name"
        raise ConfigError(f"{where}.overrides.all", what, "Name it otherwise.")
    for name in phase.overrides:
        if name in ("all", *arms):
            continue
        if get_task(name, f"{where}.overrides", book).as_intermediate is None:
            raise _unable(f"{where}.overrides", name, "an intermediate")
    if phase.tasks and not phase.seeds:
        raise ConfigError(f"{where}.seeds", "needs at least one seed", "Give some, such as [1, 2].")
    if phase.select_per_seed:
        raise ConfigError(
            f"{where}.select_per_seed",
            "is a setting of targets: they start from one model of an intermediate task",
            "Leave it out; target.seeds are replicates.",
        )
    if phase.rule == "target_dev":
        what = "an intermediate task has no target"
        raise ConfigError(f"{where}.rule", what, "Set target.rule instead.")


def check_targets(target: Target, book: Book, where: str, *, synthetic: bool) -> None:
    """Check the targets and the languages that they are scored in.

    `synthetic`: the languages are artificial, and any task may have any of them.
    """
    if not target.tasks:
        what = "needs at least one target task"
        raise ConfigError(f"{where}.tasks", what, "Name some; they are listed by: xtransfer tasks")
    for index, name in enumerate(target.tasks):
        place = f"{where}.tasks[{index}]"
        if get_task(name, place, book).stages is None:
            raise _unable(place, name, "a target")
    for name in target.overrides:
        if name != "all" and get_task(name, f"{where}.overrides", book).stages is None:
            raise ConfigError(
                f"{where}.overrides",
                f"'{name}' is no target, only what some train on",
                "Name the target itself: its values hold for all its training.",
            )
    for name, languages in target.languages.items():
        place = f"{where}.languages.{name}"
        task = get_task(name, place, book)
        if task.stages is None:
            raise _unable(place, name, "a target")
        if not languages:
            raise ConfigError(place, "needs at least one language", "Leave it out for all.")
        if not synthetic:
            known = (*task.languages, *task.more_languages)
            _check_languages(languages, known, place, f"'{name}' has no language")


def check_overrides(intermediate: Intermediate, target: Target, book: Book, where: str) -> None:
    """Refuse values of a stage that reach nothing: of training where there is none, of windows without any.

    Tasks and arms are known to exist.
    """
    lone = {name: (name,) for name in book}
    arms = {arm.name: arm.tasks for arm in intermediate.tasks}
    targets = {
        name: (name, *(stage.task for stage in task.stages or ())) for name, task in book.items()
    }
    for section, phase, tasks in (
        ("intermediate", intermediate, {**lone, **arms}),
        ("target", target, targets),
    ):
        for name, override in phase.overrides.items():
            if name == "all":
                continue
            place = f"{where}: {section}.overrides.{name}"
            untrained = section == "target" and not book[name].stages
            for value in ("epochs", "batch_size"):
                if untrained and getattr(override, value) is not None:
                    raise ConfigError(f"{place}.{value}", f"'{name}' is not trained for", _LEAVE)
            if override.stride is not None and "span" not in {
                book[each].form for each in tasks[name]
            }:
                what = f"only tasks of the form span have windows, and '{name}' has none"
                raise ConfigError(f"{place}.stride", what, _LEAVE)


def check_holdout(data: Data, book: Book, where: str) -> None:
    """Refuse a dev set out of the training data of a task that nothing trains on."""
    trained = {task.name for task in book.values() if task.as_intermediate is not None}
    trained |= {stage.task for task in book.values() for stage in task.stages or ()}
    for name in data.holdout:
        task = get_task(name, where, book)
        if name in trained:
            continue
        on = list(dict.fromkeys(stage.task for stage in task.stages or ()))
        if task.form == "mlm":
            remedy = "Of unlabelled text an arm's `text.holdout` is held out."
        elif on:
            remedy = f"It trains on {', then '.join(on)}: give the number for that."
        else:
            remedy = "Leave it out: no model is trained for it."
        what = f"'{name}' has no training set that a dev set could be held out of"
        raise ConfigError(f"{where}.{name}", what, remedy)


def check_scoring(scoring: Iterable[str], book: Book, where: str) -> None:
    """Refuse a way of comparing sentence pairs for a task without any, or one that does not exist."""
    for name in scoring:
        if get_task(name, where, book).form != "bitext":
            others = ", ".join(task.name for task in book.values() if task.form == "bitext")
            what = f"'{name}' does not compare sentences in two languages"
            raise ConfigError(f"{where}.{name}", what, f"Those that do: {others}.")


def check_further_models(target: Target, book: Book, where: str, *, eval_every: int | None) -> None:
    """Check the averages and few-shot stages that are scored beside a target's selected models.

    `eval_every`: steps between two dev scores of a trial, at each of which a checkpoint may be kept.
    """
    if target.average is not None and not target.select_per_seed:
        what = "averages the models of seeds, and `select_per_seed: false` lets one trial go on"
        raise ConfigError(f"{where}.average", what, "Leave one of them out.")
    if target.average is not None and target.average.seeds and len(target.seeds) < 2:
        raise ConfigError(
            f"{where}.average.seeds", "there is one seed, and no mean of one", "Add seeds."
        )
    if target.average is not None and target.average.checkpoints and eval_every is None:
        raise ConfigError(
            f"{where}.average.checkpoints",
            "are taken where a dev set is scored, and training.eval_every: null scores it once, at the end",
            "Give training.eval_every a number of steps.",
        )
    for name, few in target.few_shot.items():
        place = f"{where}.few_shot.{name}"
        task = get_task(name, place, book)
        if name not in target.tasks:
            raise ConfigError(place, f"'{name}' is not among target.tasks", _ADD)
        if not task.stages:
            what = f"'{name}' is not trained for, so it has no few-shot stage"
            raise ConfigError(place, what, _LEAVE)
        if few.split == "dev" and task.single_labelled_split:
            raise ConfigError(
                f"{place}.split",
                f"'{name}' has one labelled split: its dev set is its test set",
                "Give `split: train`, with files of that split.",
            )
        scored = target.languages.get(name, task.languages)
        _check_languages(few.languages, scored, f"{place}.languages", f"'{name}' is not scored in")


def check_low_resource(
    rule: float | tuple[str, ...], target: Target, book: Book, where: str
) -> None:
    """Check that languages which are named as low-resource ones are languages of some task."""
    known = {
        code for task in book.values() for code in (*task.languages, *task.more_languages)
    }.union(*target.languages.values())
    for index, code in enumerate(rule if isinstance(rule, tuple) else ()):
        if code not in known:
            near = did_you_mean(code, known)
            raise ConfigError(
                f"{where}[{index}]",
                f"no task has the language '{code}'",
                near or "Take a code of target.languages or of a task.",
            )


def check_alignment(
    alignment: Alignment, target: Target, book: Book, where: str, *, synthetic: bool
) -> None:
    """Check that the analysis has sentence pairs, and targets to be made after."""
    task = get_task(alignment.task, f"{where}.task", book)
    if task.form != "bitext" or task.metric != "accuracy":
        raise ConfigError(f"{where}.task", f"'{task.name}' has no sentence pairs", "Give tatoeba.")
    if not synthetic:
        known = (*task.languages, *task.more_languages)
        _check_languages(
            alignment.languages, known, f"{where}.languages", f"'{task.name}' has no language"
        )
    for name in alignment.targets:
        if name not in target.tasks or not book[name].stages:
            what = f"'{name}' is no target that is trained for"
            raise ConfigError(f"{where}.targets", what, "Name some of target.tasks.")


def check_rules(target: Target, book: Book, where: str, *, synthetic: bool) -> None:
    """Check that rules are for what is selected, and that the oracle has dev sets of its own to look at.

    `synthetic`: as in `check_targets`.
    """
    for section, names in (("rules", target.rules), ("dev_languages", target.dev_languages)):
        for name in names:
            if name not in target.tasks:
                what = f"'{name}' is not among target.tasks"
                raise ConfigError(f"{where}.{section}", what, _ADD)
            if not book[name].stages:
                what = f"'{name}' is not trained for, so nothing is selected"
                raise ConfigError(f"{where}.{section}.{name}", what, _LEAVE)
    for name, languages in target.dev_languages.items():
        place = f"{where}.dev_languages.{name}"
        rule = target.rules.get(name, target.rule)
        if rule != "target_dev":
            what = f"are for the rule target_dev, and that of '{name}' is {rule}"
            raise ConfigError(place, what, f"Set target.rules.{name}: target_dev, or leave it out.")
        if not languages:
            raise ConfigError(place, "needs at least one language", "Leave it out for all.")
        if not synthetic:
            known = (*book[name].languages, *book[name].more_languages)
            _check_languages(languages, known, place, f"'{name}' has no language")
    for name in target.tasks:
        rule = target.rules.get(name, target.rule)
        task = book[name]
        if rule != "target_dev" or not task.stages:
            continue
        place = f"{where}.rules.{name}" if name in target.rules else f"{where}.rule"
        if task.single_labelled_split or not _has_dev_by_language(task):
            others = ", ".join(each for each in RULES if each != rule)
            why = "has one labelled split, so the oracle would select on its test set"
            if not task.single_labelled_split:
                why = "has no dev set in its languages for the oracle to look at"
            raise ConfigError(
                place, f"'{name}' {why}", f"Give it another under target.rules: {others}."
            )


def check_hub(data: Data, book: Book, used: Set[str], where: str) -> None:
    """Check what is to be read from the hub, and that no other origin is given for it.

    `used`: names of the tasks whose data the experiment reads.
    """
    check_revisions(data.revisions, f"{where}: data.revisions")
    if data.hub and data.synthetic is not None:
        what = "artificial languages are not on the hub"
        raise ConfigError(f"{where}: data.hub", what, "Leave one of them out.")
    if "all" in data.hub:
        for name in sorted(used & set(NOT_ON_HUB) - {*data.files, *data.sources}):
            on_hub(book[name], revisions={}, where=f"{where}: data.hub")
    for index, name in enumerate(data.hub):
        if name == "all":
            continue
        place = f"{where}: data.hub[{index}]"
        on_hub(get_task(name, place, book), revisions=data.revisions, where=place)
        section = "files" if name in data.files else "sources"
        if name in getattr(data, section):
            what = f"'{name}' has files in data.{section} too"
            raise ConfigError(place, what, "Leave one of them out.")


def _has_dev_by_language(task: Task) -> bool:
    files = task.source.files.get("dev", ())
    names = (*files, *task.source.rows.values()) if files else ()
    return any(map(names_language, names))


def _check_languages(
    languages: tuple[str, ...], known: tuple[str, ...], place: str, what: str
) -> None:
    for index, language in enumerate(languages):
        if language not in known:
            has = f"It has: {' '.join(known)}."
            raise ConfigError(f"{place}[{index}]", f"{what} '{language}'", has)


def _unable(place: str, name: str, role: str) -> ConfigError:
    what = f"'{name}' cannot be {role} task"
    return ConfigError(place, what, "List what can be what with: xtransfer tasks")
