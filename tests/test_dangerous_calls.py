"""Nothing that is delivered unpickles, evaluates or hands text to a shell, but for what is listed here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
DELIVERED = sorted(
    path
    for folder in ("xtransfer", "ray_jobs", "k8s")
    for path in (CHECKOUT / folder).rglob("*.py")
)

MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "joblib",
    "code",
}
"""Not to be imported at all."""
CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pty.spawn"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load"),
    *("torch.load", "torch.jit.load", "pandas.read_pickle", "numpy.lib.npyio.load"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "importlib.import_module"),
}
OBJECTS = {"all_gather_object", "broadcast_object_list", "gather_object", "scatter_object_list"}
"""Of torch.distributed: they pickle, between the workers of one trial."""
SWITCHES = {"shell", "allow_pickle", "trust_remote_code", "unsafe_load"}
"""Arguments that may only be False. Where `trust_remote_code` is left out, transformers asks a terminal."""

ALLOWED = {
    # Workers of one trial, joined in one process group by Ray Train, tell each other scores.
    ("xtransfer/train/collectives.py", "all_gather_object"),
    ("xtransfer/train/collectives.py", "gather_object"),
    ("xtransfer/train/collectives.py", "broadcast_object_list"),
}


def found_in(text: str) -> Iterator[str]:
    """Yield each dangerous thing that a module does."""
    tree = ast.parse(text)
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    names |= {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        if not isinstance(node, ast.Call):
            continue
        name = _dotted(node.func)
        head, dot, rest = name.partition(".")
        name = f"{names.get(head, head)}{dot}{rest}"
        last = name.rpartition(".")[2]
        if name in CALLS:
            yield name
        if last in OBJECTS:
            yield last
        if last == "from_pretrained" and "trust_remote_code" not in {k.arg for k in node.keywords}:
            yield f"{last} without trust_remote_code"
        for keyword in node.keywords:
            plain_no = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg in SWITCHES and not plain_no:
                yield f"{keyword.arg}="


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_nothing_dangerous_is_called_but_what_is_listed() -> None:
    found = {
        (path.relative_to(CHECKOUT).as_posix(), what)
        for path in DELIVERED
        for what in found_in(path.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import cloudpickle.fast", "cloudpickle.fast"),
        ("eval('1')", "eval"),
        ("import os\nos.system('x')", "os.system"),
        ("from os import system as s\ns('x')", "os.system"),
        ("import yaml as y\ny.load('x', L)", "yaml.load"),
        ("from yaml import unsafe_load\nunsafe_load('x')", "yaml.unsafe_load"),
        ("import torch\ntorch.load('x', weights_only=True)", "torch.load"),
        ("subprocess.run('x', shell=True)", "shell="),
        ("np.load('x', allow_pickle=flag)", "allow_pickle="),
        ("m.from_pretrained('x', trust_remote_code=True)", "trust_remote_code="),
        ("torch.distributed.gather_object(x)", "gather_object"),
        ("AutoModel.from_pretrained('x')", "from_pretrained without trust_remote_code"),
    ],
)
def test_the_look_sees_it(text: str, what: str) -> None:
    assert list(found_in(text)) == [what]


@pytest.mark.parametrize(
    "text",
    [
        "module.eval()",
        "subprocess.run(['x'], shell=False)",
        "yaml.safe_load('x')",
        "re.compile('x')",
        "AutoModel.from_pretrained('x', trust_remote_code=False)",
    ],
)
def test_the_look_lets_the_rest_pass(text: str) -> None:
    assert not list(found_in(text))
