"""The estimate step: how well a recorded model fits a task that it was not trained on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xtransfer.errors import StepError
from xtransfer.forms.encoding import IGNORED, ints, lists
from xtransfer.plan import Step
from xtransfer.records.record import Done
from xtransfer.statistics.transferability import leep, logme
from xtransfer.steps.assembly import WEIGHTS, make_head
from xtransfer.steps.device import take_device
from xtransfer.steps.prepared import read_data_set
from xtransfer.train.batching import prediction_batches
from xtransfer.train.context import Context, device_name
from xtransfer.train.encoder import load_encoder
from xtransfer.train.kernels.products import prediction_products
from xtransfer.train.lookahead import results
from xtransfer.train.prediction import DataSet, make_inputs, mean_state, tokens_at_once
from xtransfer.train.transfers import sent
from xtransfer.train.weights import apply_weights, head_weights, read_weights

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def estimate_step(step: Step, bench: Workbench, _: Path) -> Done:
    """Estimate how well the model that an estimate step names fits its task."""
    from xtransfer.steps.encoder import encoder_place, positions_of

    began = time.time()
    torch.set_num_threads(max(1, int(bench.placement.evaluate.cpus)))
    name, revision = encoder_place(step, bench)
    encoder = load_encoder(name, revision=revision)
    trained = bench.trained(step.inputs["model"])
    weights = read_weights(bench.files(trained, [WEIGHTS]) / WEIGHTS)
    apply_weights(encoder, weights)
    device = take_device(step, bench)
    context = Context(
        device=device,
        pad_id=encoder.config.pad_token_id or 0,
        longest=positions_of(encoder),
        alive=bench.alive,
    )
    folder = bench.files(bench.record(step.inputs["data"]))
    spec = step.spec
    head = None
    if spec["measure"] == "leep":
        own = head_weights(weights)
        head = make_head(encoder, trained.spec["parts"][0]["form"], len(own["project.bias"]))
        head.load_state_dict(own)
        head.to(device)
    data = DataSet.joined([read_data_set(folder, language) for language in spec["languages"]])
    ready = time.time()
    vectors, labels = features(
        encoder.to(device),
        data,
        context,
        form=spec["form"],
        examples=spec["examples"],
        seed=spec["seed"],
        head=head,
    )
    if len(np.unique(labels)) < 2:
        raise StepError(
            step.folder,
            f"all {len(labels)} examples of {spec['task']} that were drawn have one label",
            "Raise pruning.examples, or leave pruning out.",
        )
    return Done(
        result={
            "estimate": (logme if head is None else leep)(vectors, labels),
            "examples": len(labels),
            "classes": len(np.unique(labels)),
            "model": trained.key,
        },
        timing={"start_s": ready - began},
        placement={"device": device_name(device)},
    )


def features(
    encoder: Any,
    data: DataSet,
    context: Context,
    *,
    form: str,
    examples: int,
    seed: int,
    head: Any = None,
) -> tuple[Floats, Ints]:
    """Return features [n, hidden] of drawn examples, from the last layer, and their labels [n].

    With a head, its class probabilities [n, classes] take the features' place.

    Of a classification, the mean over an input's tokens, special ones included. Of a choice, that of each
    answer beside its question, labelled 1 if it is the right one. Of tagging, the state of each word's
    first subword; n is then at most `examples`.

    Args:
        encoder: as it is; put into evaluation mode.
        data: prepared with labels; what has none is left out.
        context: device and padding.
        form: classification, choice or tagging.
        examples: to draw, without replacement.
        seed: of the draw.
        head: of a classification, or for a target of tagging of a tagging; None: features are asked for.
    """
    encoder.eval()
    if head is not None:
        head.eval()
    random = np.random.RandomState(seed)
    rows = random.permutation(len(data.lengths))
    if form != "tagging":
        rows = rows[ints(data.rows["label"], rows) >= 0]
    rows = rows[:examples]
    with torch.inference_mode(), prediction_products(encoder):
        found = list(_states(encoder, data, context, form=form, rows=rows, head=head))
    vectors = np.concatenate([vectors for vectors, _ in found])
    labels = np.concatenate([labels for _, labels in found])
    if form == "tagging":
        chosen = random.permutation(len(labels))[:examples]
        vectors, labels = vectors[chosen], labels[chosen]
    return vectors, labels


def _states(
    encoder: Any, data: DataSet, context: Context, *, form: str, rows: Ints, head: Any
) -> Iterator[tuple[Floats, Ints]]:
    """Yield features and labels of batches of rows."""
    batches = prediction_batches(data.lengths[rows], tokens=tokens_at_once(context))

    def features_of(batch: Ints) -> Tensor:
        context.alive()
        inputs = make_inputs(form, data.rows, batch, context)
        states = encoder(**inputs).last_hidden_state
        if form != "tagging":
            found = states.float()
            if head is not None:
                return head(found).softmax(-1)
            return mean_state(found, inputs.get("attention_mask"))
        # Few tokens count, and which is known here: no others come back from the device.
        places = sent(_word_places(data, batch, states.shape[1]), context.device)
        if head is not None:
            return head(states.float()).softmax(-1).flatten(0, 1)[places]
        return states.flatten(0, 1)[places].float()

    chosen = (rows[each] for each in batches)
    for batch, found in results(chosen, features_of, context):
        yield found.numpy(), _labels(data, batch, form)


def _word_places(data: DataSet, batch: Ints, length: int) -> Ints:
    """Return where the words with a label are, among the tokens of a batch in reading order: [words]."""
    tags = lists(data.rows["labels"], batch)
    places = [row * length + np.flatnonzero(each != IGNORED) for row, each in enumerate(tags)]
    return np.concatenate(places)


def _labels(data: DataSet, batch: Ints, form: str) -> Ints:
    """Return the labels of a batch's features, in their order."""
    if form == "tagging":
        tags = np.concatenate(lists(data.rows["labels"], batch))
        return tags[tags != IGNORED].astype(np.int64)
    labels = ints(data.rows["label"], batch)
    if form != "choice":
        return labels
    counts = [len(lengths) for lengths in lists(data.rows["choice_lengths"], batch)]
    answers = [np.arange(count) == label for count, label in zip(counts, labels, strict=True)]
    return np.concatenate(answers).astype(np.int64)
