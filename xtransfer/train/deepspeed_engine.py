"""DeepSpeed as an optimizer engine."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from torch import Tensor, nn

from xtransfer.train.kernels.feed_forward import use_usual_feed_forward
from xtransfer.train.parameters import MOMENTS, step_count, stored, trained_parameters


class DeepSpeedEngine:
    """DeepSpeed with ZeRO stage 0 to 3 around the same AdamW."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        clip: float,
        world_size: int,
        zero_stage: int,
    ) -> None:
        deepspeed = import_deepspeed(next(module.parameters()).device.type)
        use_usual_feed_forward(module)
        if not torch.distributed.is_initialized():
            raise RuntimeError("a process group must exist before the DeepSpeed engine is made")
        os.environ.setdefault("LOCAL_RANK", "0")  # Ray Train sets it; a lone process does not
        deepspeed.init_distributed(dist_backend=torch.distributed.get_backend(), verbose=False)
        self.world_size = world_size
        self.zero_stage = zero_stage
        self.clip = clip
        for head, words in getattr(module, "tied", list)():
            # ZeRO 3 gathers a weight for the module that owns it; others must ask.
            deepspeed.zero.register_external_parameter(head, words)
        size = sum(parameter.numel() for parameter in module.parameters())
        self.linear = nn.functional.linear
        self.engine, _, _, _ = deepspeed.initialize(
            model=module,
            optimizer=optimizer,
            config={
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": 1,
                # Without ZeRO, DeepSpeed clips and steps whatever the norm is: `step` clips there.
                "gradient_clipping": clip if zero_stage else 0.0,
                "zero_optimization": {
                    "stage": zero_stage,
                    # DeepSpeed allocates this many elements anew in every step: 2 GB by default.
                    "reduce_bucket_size": min(size, 500_000_000),
                },
                "zero_allow_untested_optimizer": True,
                "steps_per_print": 2**31,
            },
        )
        self.optimizer = optimizer
        self.module = self.engine.module
        self._fill_state(0)

    def forward(self, **batch: Any) -> Tensor:
        """Run the model."""
        return self.engine(**batch)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradient of `loss`. DeepSpeed averages over workers, so the loss is scaled up."""
        self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss * self.world_size)
        if not last:
            self.engine.step()  # counts the micro-batch; weights change on the boundary only

    def step(self, learning_rate: float) -> Tensor:
        """Clip, update, clear."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate
        if self.zero_stage:
            self.engine.step()  # leaves a step out by itself, and says so
            return torch.tensor(not self.engine.optimizer.overflow)
        finite = self._clip()
        self.engine.step()
        return torch.tensor(finite)

    def weights(self) -> dict[str, Tensor]:
        """Gather every parameter."""
        if self.zero_stage == 0:
            return {name: stored(p) for name, p in trained_parameters(self.module)}
        from deepspeed.utils import safe_get_full_fp32_param

        return {
            name: stored(safe_get_full_fp32_param(p)).view(_shape(p))
            for name, p in trained_parameters(self.module)
        }

    def moments(self) -> dict[str, Tensor]:
        """Gather both Adam moments of every parameter."""
        from deepspeed.utils import safe_get_full_optimizer_state

        out: dict[str, Tensor] = {}
        for name, parameter in trained_parameters(self.module):
            for moment in MOMENTS:
                if self.zero_stage == 0:
                    whole = self.optimizer.state[parameter][moment]
                else:
                    whole = safe_get_full_optimizer_state(parameter, moment)
                out[f"{moment}/{name}"] = stored(whole).view(_shape(parameter))
        return out

    def load_moments(self, moments: dict[str, Tensor], *, steps: int) -> None:
        """Set both Adam moments and the step count."""
        from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

        self._fill_state(steps)
        for name, parameter in trained_parameters(self.module):
            for moment in MOMENTS:
                value = moments[f"{moment}/{name}"].to(parameter.device)
                if self.zero_stage == 0:
                    self.optimizer.state[parameter][moment].copy_(value)
                elif self.zero_stage == 3:
                    safe_set_local_optimizer_state(parameter, _own_part(parameter, value), moment)
                else:
                    safe_set_full_optimizer_state(parameter, value, moment)

    def close(self) -> None:
        """Take DeepSpeed's hooks off the parameters, which would keep them alive, and off PyTorch.

        ZeRO 3 puts a function of its own in the place of PyTorch's linear one, for the whole process.
        """
        self.engine.destroy()
        nn.functional.linear = self.linear
        for parameter in self.module.parameters():
            for name in ("_hp_mapping", "_zero_optimizer", "_z3_optimizer", "_dp_group"):
                if hasattr(parameter, name):
                    delattr(parameter, name)
        self.optimizer.state.clear()
        self.optimizer.param_groups.clear()

    def _clip(self) -> bool:
        """Clip the whole gradient; drop it where its norm is not finite, so that AdamW does nothing.

        By PyTorch, which takes all parameters together: DeepSpeed's own takes two kernels for each. The last backward
        pass of a step has summed the gradients over workers, so that all have the same norm.
        """
        parameters = list(self.module.parameters())
        finite = bool(torch.isfinite(nn.utils.clip_grad_norm_(parameters, self.clip)))
        if not finite:
            for parameter in parameters:
                parameter.grad = None
        return finite

    def _fill_state(self, steps: int) -> None:
        """Create AdamW's state now instead of at the first step.

        DeepSpeed 0.19 links whole parameters to their optimizer state when the first parameter group
        has stepped, while the other groups have none yet; with the state there from the start every
        group is linked. A zero state is what AdamW begins with.
        """
        zero = self.engine.optimizer
        flat = (
            getattr(zero, "fp32_partitioned_groups_flat", None)
            or getattr(zero, "single_partition_of_fp32_groups", None)
            or [p for group in self.optimizer.param_groups for p in group["params"]]
        )
        for tensor in flat:
            self.optimizer.state[tensor] = {
                "step": step_count(steps, tensor),
                **{moment: torch.zeros_like(tensor, requires_grad=False) for moment in MOMENTS},
            }
        if hasattr(zero, "_lazy_init_hp_params_optimizer_state"):
            zero._hp_optimizer_states_linked = False
            zero._lazy_init_hp_params_optimizer_state()


def import_deepspeed(device: str) -> Any:
    """Import DeepSpeed for a type of torch device, without compiling anything.

    Left to itself it takes a GPU wherever the process sees one, also for a trial that was given none.
    """
    if device == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    # Which of its operators could be built here. Asked for, it runs compilers and looks at the GPUs; the only one that
    # asks is its collective for CPUs, which takes a minute to build, and takes what is not there for False.
    deepspeed.ops.__compatible_ops__ = {}  # pyright: ignore[reportAttributeAccessIssue]
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    return deepspeed


def _shape(parameter: Any) -> torch.Size:
    """Return a parameter's whole shape; under ZeRO 3 the parameter itself is empty."""
    return getattr(parameter, "ds_shape", parameter.shape)


def _own_part(parameter: Any, value: Tensor) -> Tensor:
    """Return what this worker keeps, under ZeRO 3, of a whole tensor like `parameter`: [size of a part].

    Workers have parts of the same size; where the last ones reach over the end, zeros fill them up, which
    DeepSpeed's own function for whole tensors does not know.
    """
    size = parameter.ds_tensor.numel()
    start = size * torch.distributed.get_rank()
    own = value.flatten()[start : start + size]
    return nn.functional.pad(own, (0, size - len(own)))
