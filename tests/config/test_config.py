from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xtransfer.config.data import Data, Limits
from xtransfer.config.experiment import Experiment, load_experiment
from xtransfer.config.placement import Placement, load_placement
from xtransfer.errors import ConfigError
from xtransfer.tasks import TASKS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = """
name: small
encoder: encoder
intermediate: {tasks: [mnli], seeds: [1], learning_rates: [1e-5]}
target: {tasks: [xnli, tatoeba], seeds: [1, 2]}
"""


def write(folder: Path, text: str = SMALL) -> Path:
    path = folder / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refuse(folder: Path, *overrides: str) -> str:
    path = write(folder)
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, overrides)
    assert caught.value.exit_status == 2
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_small_experiment_has_the_defaults_of_the_study(tmp_path: Path) -> None:
    found = load_experiment(write(tmp_path))
    assert found.encoder.name == "encoder"
    assert found.intermediate.learning_rates == (1e-5,)
    assert found.intermediate.select_per_seed is False
    assert found.target.select_per_seed is True
    assert (found.training.warmup, found.training.weight_decay) == (0.1, 0.01)
    assert (found.training.clip, found.training.adam_epsilon) == (1.0, 1e-8)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_experiments_of_the_repository_are_good(path: Path) -> None:
    load_experiment(path)


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "placement").glob("*.yaml")), ids=lambda path: path.name
)
def test_the_placements_of_the_repository_are_good(path: Path) -> None:
    load_placement(path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "target.tasks=[xnil]",
            "target.tasks[0]: no task 'xnil'. Did you mean 'xnli'? List them with: xtransfer tasks",
        ),
        (
            "target.tasks=[xnli, mnli]",
            (
                "target.tasks[1]: 'mnli' cannot be a target task. "
                "List what can be what with: xtransfer tasks"
            ),
        ),
        (
            "intermediate.tasks=[xnli]",
            (
                "intermediate.tasks[0]: 'xnli' cannot be an intermediate task. "
                "List what can be what with: xtransfer tasks"
            ),
        ),
        ("target.tasks=[]", "target.tasks: needs at least one target task"),
        ("target.tasks=[xnli, xnli]", "target.tasks: has a repeated entry: ['xnli', 'xnli']"),
        ("target.seeds=[]", "target.seeds: needs at least one seed"),
        (
            "typology.low_resource=[yo, sv]",
            "typology.low_resource[1]: no task has the language 'sv'",
        ),
        ("typology.low_resource=[yo, yo]", "typology.low_resource: has a repeated entry"),
        ("target.seeds=[1, 1]", "target.seeds: has a repeated entry: [1, 1]"),
        ("intermediate.seeds=[]", "intermediate.seeds: needs at least one seed"),
        (
            "target.learning_rates=[3.0]",
            "target.learning_rates: learning rates lie between 0 and 1",
        ),
        (
            "target.languages.xnli=[en, xx]",
            (
                "target.languages.xnli[1]: 'xnli' has no language 'xx'. "
                "It has: ar bg de el en es fr hi ru sw th tr ur vi zh."
            ),
        ),
        ("target.languages.xnli=[]", "target.languages.xnli: needs at least one language"),
        (
            "target.overrides.xnl.epochs=3",
            "target.overrides: no task 'xnl'. Did you mean 'xnli'? List them with: xtransfer tasks",
        ),
        (
            "target.overrides.xnli.epoch=3",
            "target.overrides.xnli.epoch: unknown key 'epoch'. Did you mean 'epochs'?",
        ),
        ("target.overrides.mnli.epochs=3", "target.overrides: 'mnli' is no target, only what some"),
        ("intermediate.overrides.xnli.epochs=3", "intermediate.overrides: 'xnli' cannot"),
        (
            "target.overrides.tatoeba.epochs=3",
            "target.overrides.tatoeba.epochs: 'tatoeba' is not trained for. Leave it out.",
        ),
        (
            "target.overrides.tatoeba.batch_size=3",
            "target.overrides.tatoeba.batch_size: 'tatoeba' is not trained for",
        ),
        (
            "intermediate.overrides.mnli.stride=64",
            "intermediate.overrides.mnli.stride: only tasks of the form span have windows",
        ),
        ("target.overrides.xnli.stride=64", "target.overrides.xnli.stride: only tasks of the form"),
        (
            "retrieval.scoring.xnli=csls",
            "retrieval.scoring.xnli: 'xnli' does not compare sentences in two languages. Those that do: ",
        ),
        ("retrieval.scoring.tatoebe=csls", "retrieval.scoring: no task 'tatoebe'. Did you mean"),
        ("data.holdout.squad=3", "data.holdout: no task 'squad'."),
        (
            "data.holdout.xnli=3",
            (
                "data.holdout.xnli: 'xnli' has no training set that a dev set could be held out of. "
                "It trains on mnli: give the number for that."
            ),
        ),
        ("data.holdout.tatoeba=3", "data.holdout.tatoeba: 'tatoeba' has no training set that"),
        ("data.holdout.text=3", "data.holdout.text: 'text' has no training set that a dev set "),
        ("data.files.mnli.train=[]", "data.files: of mnli, the `train` files are none"),
        ("data.files.mnli.train=[a, a]", "data.files: of mnli, the `train` files have one twice"),
        ("data.files.mnli.train=['']", "data.files: of mnli, the `train` files have an empty name"),
        ("data.sources.xnly.header=true", "data.sources: no task 'xnly'. Did you mean 'xnli'?"),
        (
            "data.sources.xnli.heder=true",
            "data.sources.xnli.heder: unknown key 'heder'. Did you mean 'head",
        ),
        (
            "data.sources.xnli={format: jsonl, header: true}",
            "data.sources.xnli.header: is for tsv and csv: 'jsonl' names the fields of each row",
        ),
        (
            "data.sources.panx.rows={language: en}",
            "data.sources.panx.rows: is for tables: what is where in a 'conll' file is fixed",
        ),
        (
            "data={hub: [xnli], sources: {xnli: {header: true}}}",
            "data.hub[0]: 'xnli' has files in data.sources too",
        ),
        (
            "data={synthetic: {}, sources: {xnli: {header: true}}}",
            "data.sources: artificial languages are read from no files of yours",
        ),
        ("data.hub=[xnli, xnli]", "data.hub: has a repeated entry: ['xnli', 'xnli']"),
        ("data.limits.seed=-1", "data.limits.seed: input should be greater than or equal to 0"),
        ("statistics.seed=-1", "statistics.seed: input should be greater than or equal to 0"),
        ("pruning={keep: 1, seed: 4294967296}", "pruning.seed: input should be less than 4294967"),
        ("target.languages.mnli=[en]", "target.languages.mnli: 'mnli' cannot be a target task"),
        (
            "target.dev_languages.xnli=[de]",
            "target.dev_languages.xnli: are for the rule target_dev, and that of 'xnli' is best_dev",
        ),
        (
            "target={tasks: [xnli], rule: target_dev, dev_languages: {xnli: [zz]}}",
            "target.dev_languages.xnli[0]: 'xnli' has no language 'zz'. It has: ar bg",
        ),
        (
            "target={tasks: [xnli], rule: target_dev, dev_languages: {xnli: []}}",
            "target.dev_languages.xnli: needs at least one language",
        ),
        (
            "target={tasks: [xnli], rule: target_dev, dev_languages: {xnli: [de, de]}}",
            "target.dev_languages: has a repeated entry: ['de', 'de']",
        ),
        (
            "target.rules.tatoeba=best_dev",
            "target.rules.tatoeba: 'tatoeba' is not trained for, so nothing is selected",
        ),
        (
            "target.average={seeds: true, which: best}",
            "target.average: `which` is between `checkpoints`, and their number is not given",
        ),
        (
            "target.average={checkpoints: 2, head_seed: 3}",
            "target.average: `head_seed` does nothing without `seeds: true`",
        ),
        ("target.search={trials: 3}", "target.search: `trials` does nothing to a grid, whose"),
        (
            "target.search={kind: random, low: 1e-6, high: 1e-5, startup: 2}",
            "target.search: `startup` does nothing to a random search, only to tpe",
        ),
        (
            "target.search={kind: tpe, low: 1e-6, high: 1e-5, trials: 4}",
            "target.search: all 4 `trials` are drawn, as `startup` is 4, and tpe suggests none",
        ),
        ("encoder=", "encoder: `name` is empty: give a folder or a hub repository"),
        ("encoder={pretrain: {}, revision: main}", "encoder: `revision` is that of a hub"),
        ("analyses.alignment.targets=[xnli, xnli]", "analyses.alignment: has a repeated entry"),
        ("typology.kinds=[syntactic, syntactic]", "typology.kinds: has a repeated entry"),
        ("typology.low_resource=-1", "typology.low_resource: is a size in GiB, from 0, or a list"),
        ("retrieval.layers=[1, 1]", "retrieval.layers: has a repeated entry: [1, 1]"),
        ("retrieval.layers=1", "retrieval.layers: must be 'all' or a list, not 1"),
        ("data.files.mnl.train=[a]", "data.files: no task 'mnl'. Did you mean 'mnli'?"),
        ("data.limits.tasks.mnl.train=3", "data.limits.tasks: no task 'mnl'."),
        (
            "train.cpus=2",
            "train: is a setting of the placement. Give it in the file of --placement, or by --place.",
        ),
        ("notes=[2026-11-02]", "notes[0]: must be a text, not 2026-11-02. Put it in quotes."),
        ("name=Bad Name", "name: must be 1 to 30 of a-z, 0-9, '-' and '_', beginning with"),
        ("encoder={}", "encoder: give either `name` (a folder or a hub repository) or `pretrain`"),
        ("training.precision=fp16", "training.precision: input should be 'fp32' or 'bf16'"),
        ("target.languages.xnli=[../x]", "target.languages: '../x' is no language code"),
        (
            "tasks=[{name: own, like: mnli, languages: [../../x]}]",
            "tasks[0].languages: '../../x' is no language code",
        ),
        (
            "tasks=[{name: own, like: mnli, train_language: /etc/passwd}]",
            "tasks[0].train_language: '/etc/passwd' is no language code",
        ),
        (
            "intermediate.tasks=[{task: mnli, languages: [..]}]",
            "intermediate.tasks[0].languages: '..' is no language code",
        ),
        (
            "intermediate.tasks=[{task: mnli, text: {languages: [a/b]}}]",
            "intermediate.tasks[0].text.languages: 'a/b' is no language code",
        ),
        ("training.adam_betas=[0.9, 1.0]", "training.adam_betas[1]: input should be less than 1"),
        ("training.adam_epsilon=1e999", "training.adam_epsilon: input should be a finite number"),
        ("target.seeds=[-1]", "target.seeds[0]: input should be greater than or equal to 0"),
        ("data.holdout.squad_v1=0", "data.holdout.squad_v1: input should be greater than or"),
        ("target.tasks=[XNLI]", "target.tasks[0]: no task 'XNLI'. Did you mean 'xnli'?"),
        (
            "intermediate.tasks=[{task: mnli, languages: [en, sw, ta], spread: 2}]",
            "intermediate.tasks[0]: `spread` is 2, which leaves some of 3 languages no example",
        ),
        (
            "intermediate.tasks=[{task: mnli, languages: [en, sw], spread: -1}]",
            "intermediate.tasks[0]: `spread` is true, false or a number of examples",
        ),
        ("intermediate.tasks=[{tasks: 5}]", "intermediate.tasks[0].name: is required but absent"),
        ("intermediate.tasks=[{tasks: null}]", "intermediate.tasks[0].name: is required"),
        ("intermediate.tasks=[{tasks: {a: b}}]", "intermediate.tasks[0].name: is required"),
        ("tasks=[{name: own, like: mnli, source: 5}]", "tasks[0].source: must be a mapping of"),
        ("training.warmup=1.5", "training.warmup: input should be less than 1"),
        ("retrieval.layer=1.5", "retrieval.layer: is an index (0, 1, ...) or a share"),
        ("retrieval.layer=-1", "retrieval.layer: is an index (0, 1, ...) or a share"),
        ("retrieval.layers=[2, -1]", "retrieval.layers"),
        ("retrieval.layers=some", "retrieval.layers"),
        ("retrieval.pooling=max", "retrieval.pooling"),
        ("retrieval.scoring.tatoeba=dot", "retrieval.scoring.tatoeba"),
        ("retrieval.scoring.tatoba=ratio", "retrieval.scoring: no task 'tatoba'"),
        ("data.limits.train=0", "data.limits.train: input should be greater than or equal to 1"),
        ("trainig.clip=1.0", "trainig: unknown key 'trainig'. Did you mean 'training'?"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_remedy(
    tmp_path: Path, override: str, message: str
) -> None:
    assert refuse(tmp_path, override).startswith(message)


def test_an_arm_and_an_experiment_do_not_both_say_how_files_are_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    arm = "intermediate.tasks=[{name: own, tasks: [mnli], source: %s}]"
    both = "data.sources.mnli={skip_labels: [y]}"
    with pytest.raises(ConfigError, match="arm 'own' has a `source` of its own for the files of"):
        load_experiment(path, [arm % "{skip_labels: [x]}", both])
    load_experiment(path, [arm % "{files: {train: [own.tsv]}}", both])


def test_files_of_a_source_take_the_place_of_those_splits_alone() -> None:
    data = Data.model_validate({"sources": {"mnli": {"files": {"train": ["mine.jsonl"]}}}})
    found, own = data.source_of(TASKS["mnli"], "dev").files, TASKS["mnli"].source.files
    assert found == {**own, "train": ("mine.jsonl",)}


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("target.tasks=[]", "xtransfer tasks"),
        ("intermediate.seeds=[]", "such as [1, 2]"),
        ("target.languages.xnli=[]", "Leave it out for all."),
        ("target.rules={panx: best_dev}", "leave it out here"),
        ("target.few_shot={panx: {examples: [1], languages: [de]}}", "leave it out here"),
        ("tasks=[{name: own, like: mnli, languages: []}]", "Name those of its test set."),
        ("tasks=[{name: own, like: squad_v1, labels: [no answer]}]", "metric: squad_v2"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(tmp_path: Path, override: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_experiment(write(tmp_path), [override])
    assert remedy in caught.value.next


def test_artificial_languages_are_not_checked_against_the_task(tmp_path: Path) -> None:
    found = load_experiment(
        write(tmp_path), ["data.synthetic.seed=1", "target.languages.xnli=[l9]"]
    )
    assert found.target.languages["xnli"] == ("l9",)


def test_an_encoder_by_name_takes_a_revision_from_the_command_line(tmp_path: Path) -> None:
    found = load_experiment(write(tmp_path), [f"encoder.revision='{'0' * 40}'"])
    assert (found.encoder.name, found.encoder.revision) == ("encoder", "0" * 40)


def test_a_limit_of_a_task_wins_and_may_be_lifted() -> None:
    limits = Limits(train=10, tasks={"mnli": {"train": None, "dev": 5}})
    assert limits.of("mnli", "train") is None
    assert limits.of("mnli", "dev") == 5
    assert limits.of("mnli", "test") is None
    assert limits.of("xnli", "train") == 10


def test_a_placement_needs_no_file() -> None:
    assert load_placement(None) == Placement()
    assert load_placement(None, ["train.workers=2"]).train.workers == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "target.seeds=[1]",
            (
                "placement: target: is a setting of the experiment. "
                "Give it in the experiment's own file, or by --set."
            ),
        ),
        ("ray.address=", "placement: ray.address: is empty: leave it out for the default"),
        ("scratch=", "placement: scratch: is empty: leave it out for the default"),
        (
            "tracking.tensorboard=",
            "placement: tracking.tensorboard: is empty: leave it out for the default",
        ),
        ("s3.region=' '", "placement: s3.region: is empty: leave it out for the default"),
        ("train.zero_stage=4", "placement: train.zero_stage: input should be 0, 1, 2 or 3, not 4"),
        (
            "train.worker=2",
            "placement: train.worker: unknown key 'worker'. Did you mean 'workers'?",
        ),
        ("train", "--place train: is not of the form a.b=value. Example: --place a.b=value"),
        ("prepare.cpus=0", "placement: prepare.cpus: input should be greater than 0, not 0"),
        *(
            (
                f"{section}.gpus=2",
                (
                    f"placement: {section}.gpus: is at most 1, as a step uses one GPU: set it to 1, and train.workers "
                    "for a trial on several"
                ),
            )
            for section in ("train", "evaluate")
        ),
        *(
            (
                f"train={{gpus: 0.5, workers: {workers}}}",
                (
                    "placement: train: workers of one trial cannot share a GPU: gpus: 1 for each of them, or "
                    "workers: 1 with a share"
                ),
            )
            for workers in ("2", "[1, 2]")
        ),
    ],
)
def test_a_mistake_in_a_placement(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_placement(None, [override])
    assert str(caught.value) == message


NAMES = st.sampled_from(
    "name encoder data intermediate target training retrieval notes tasks seeds learning_rates "
    "overrides limits languages synthetic files holdout pretrain mnli xnli all train epochs".split()
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats()
    | st.sampled_from(["mnli", "xnli", "en", "no", "a b", ""])
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=80)
    | ANYTHING.map(yaml.safe_dump)
    | st.fixed_dictionaries(
        {"name": st.just("x"), "encoder": ANYTHING, "target": st.just({"tasks": ["xnli"]})},
        optional=dict.fromkeys(("data", "intermediate", "training", "retrieval"), ANYTHING),
    ).map(yaml.safe_dump)
)
def test_any_text_is_an_experiment_or_an_error_of_ours(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found: Experiment | ConfigError
    try:
        found = load_experiment(path)
    except ConfigError as error:
        found = error
    assert isinstance(found, Experiment) or str(found).startswith(str(path))


def test_the_hub_stands_in_for_the_files_of_the_study(tmp_path: Path) -> None:
    def sources(*overrides: str) -> list[str]:
        data = load_experiment(write(tmp_path), overrides).data
        names = ("mnli", "xnli", "ccg")
        return [data.source_of(TASKS[name], "train").format for name in names]

    assert sources() == ["jsonl", "tsv", "ccg"]
    assert sources("data.hub=[mnli]") == ["hub", "tsv", "ccg"]
    assert sources("data.hub=false") == ["jsonl", "tsv", "ccg"]
    # Files that the experiment names go before `true`.
    files = ("data.files.ccg.train=[a.auto]", "data.files.xnli.train=[x]")
    assert sources("data.hub=true", *files) == ["hub", "tsv", "ccg"]
    sources_ = ("data.files.ccg.train=[a.auto]", "data.sources.xnli.format=csv")
    assert sources("data.hub=true", *sources_) == ["hub", "csv", "ccg"]
    with pytest.raises(ConfigError, match=r"data\.hub: 'ccg' cannot be read from the hub"):
        sources("data.hub=true")


def test_files_of_an_arm_are_not_replaced_by_the_hub(tmp_path: Path) -> None:
    data = load_experiment(write(tmp_path), ["data.hub=true"]).data
    source = TASKS["mnli"].source.model_copy(update={"files": {"train": ("mnli-sw.jsonl",)}})
    assert data.source_of(TASKS["mnli"].model_copy(update={"source": source}), "train") == source


def test_a_revision_of_the_users_own_is_pinned(tmp_path: Path) -> None:
    found = load_experiment(
        write(tmp_path), ["data.hub=[xnli]", f"data.revisions={{facebook/xnli: {'a' * 40}}}"]
    )
    assert found.data.source_of(TASKS["xnli"], "test").hub[0].revision == "a" * 40


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data.hub=[xnil]",), "data.hub[0]: no task 'xnil'. Did you mean 'xnli'?"),
        (
            ("data.hub=[mnli, bucc2018]",),
            "data.hub[1]: 'bucc2018' cannot be read from the hub: the",
        ),
        (
            ("data.hub=[mnli]", "data.files.mnli.train=[a.jsonl]"),
            "data.hub[0]: 'mnli' has files in data.files too. Leave one of them out.",
        ),
        (
            ("data.hub=true", "target.tasks=[xnli, bucc2018]"),
            "data.hub: 'bucc2018' cannot be read from the hub: the hub's copies hold the gold pairs",
        ),
        (
            ("data.hub=true", "data.synthetic={}"),
            "data.hub: artificial languages are not on the hub",
        ),
        (
            ("data.revisions={facebook/xnli: main}",),
            "data.revisions: 'main' of facebook/xnli is no full commit hash (40 hex digits)",
        ),
        (
            (f"data.revisions={{facebok/xnli: {'a' * 40}}}",),
            "data.revisions: no task reads the repository 'facebok/xnli'. Did you mean 'facebook/xnl",
        ),
    ],
)
def test_what_the_hub_cannot_be_asked_is_said(
    tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    assert refuse(tmp_path, *overrides).startswith(message)
