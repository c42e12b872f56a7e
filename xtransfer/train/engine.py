"""What the training loop asks of an optimizer engine, and the two that there are.

DeepSpeed is for ZeRO and clusters, plain torch is its reference; a test holds them together. Both keep
fp32 master weights and give their state as whole, named tensors, so a checkpoint does not depend on the
number of workers or the ZeRO stage.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from xtransfer.train.linear import use_pytorch

MOMENTS = ("exp_avg", "exp_avg_sq")


class Engine(Protocol):
    """Runs one model on all workers of a trial."""

    module: nn.Module

    def forward(self, **batch: Any) -> Tensor:
        """Run the model on this worker's micro-batch."""
        ...

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradient of `loss`; over all micro-batches and workers the losses are summed.

        `last` marks the step's last micro-batch.
        """
        ...

    def step(self, learning_rate: float) -> bool:
        """Clip the gradient, update the weights and clear the gradient.

        Where the norm of the whole gradient is not finite, weights and moments stay as they are and the
        answer is False: on all workers alike, since they share that norm.
        """
        ...

    def weights(self) -> dict[str, Tensor]:
        """Return every trained parameter whole, fp32, on the CPU. Collective."""
        ...

    def moments(self) -> dict[str, Tensor]:
        """Return both Adam moments as `exp_avg/<name>`, `exp_avg_sq/<name>`. Collective."""
        ...

    def load_moments(self, moments: dict[str, Tensor], *, steps: int) -> None:
        """Set both Adam moments and the number of steps taken. Collective."""
        ...

    def close(self) -> None:
        """Let go of the model's memory; the engine cannot be used afterwards."""
        ...


def trained_parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that are not frozen, by name."""
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return AdamW's two groups: no decay on biases and LayerNorm (every one-dimensional weight)."""
    trained = [p for _, p in trained_parameters(module)]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def make_engine(
    module: nn.Module,
    *,
    kind: str,
    world_size: int,
    weight_decay: float,
    epsilon: float,
    betas: tuple[float, float],
    clip: float,
    zero_stage: int,
) -> Engine:
    """Wrap a module, already on its device, into the engine named `kind`."""
    optimizer = torch.optim.AdamW(
        parameter_groups(module, weight_decay), lr=0.0, betas=betas, eps=epsilon, fused=True
    )
    if kind == "torch":
        return TorchEngine(module, optimizer, clip=clip, world_size=world_size)
    return DeepSpeedEngine(
        module, optimizer, clip=clip, world_size=world_size, zero_stage=zero_stage
    )


class TorchEngine:
    """Plain torch: AdamW on every worker, gradients summed over workers."""

    def __init__(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, *, clip: float, world_size: int
    ) -> None:
        self.module = module
        self.optimizer = optimizer
        self.clip = clip
        self.world_size = world_size

    def forward(self, **batch: Any) -> Tensor:
        """Run the model."""
        return self.module(**batch)

    def backward(self, loss: Tensor, *, last: bool) -> None:  # noqa: ARG002 - see Engine
        """Add the gradient of `loss`."""
        loss.backward()

    def step(self, learning_rate: float) -> bool:
        """Sum the gradients over workers, clip, update."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        if self.world_size > 1:
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                torch.distributed.all_reduce(parameter.grad)
        norm = nn.utils.clip_grad_norm_(parameters, self.clip)
        finite = bool(torch.isfinite(norm))
        if finite:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return finite

    def weights(self) -> dict[str, Tensor]:
        """Return every trained parameter, fp32, on the CPU."""
        return {name: _copy(p) for name, p in trained_parameters(self.module)}

    def moments(self) -> dict[str, Tensor]:
        """Return both Adam moments of every parameter."""
        out: dict[str, Tensor] = {}
        for name, parameter in trained_parameters(self.module):
            state = self.optimizer.state.get(parameter, {})
            for moment in MOMENTS:
                out[f"{moment}/{name}"] = _copy(state.get(moment, torch.zeros_like(parameter)))
        return out

    def load_moments(self, moments: dict[str, Tensor], *, steps: int) -> None:
        """Set both Adam moments and the step count of every parameter."""
        for name, parameter in trained_parameters(self.module):
            self.optimizer.state[parameter] = {
                "step": _steps(steps, parameter),
                **{moment: moments[f"{moment}/{name}"].to(parameter.device) for moment in MOMENTS},
            }

    def close(self) -> None:
        """Do nothing: nobody else refers to the model."""


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
        deepspeed = import_deepspeed()
        use_pytorch(module)
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

    def step(self, learning_rate: float) -> bool:
        """Clip, update, clear."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate
        if self.zero_stage:
            self.engine.step()  # leaves a step out by itself, and says so
            return not self.engine.optimizer.overflow
        finite = self._clip()
        self.engine.step()
        return finite

    def weights(self) -> dict[str, Tensor]:
        """Gather every parameter."""
        if self.zero_stage == 0:
            return {name: _copy(p) for name, p in trained_parameters(self.module)}
        from deepspeed.utils import safe_get_full_fp32_param

        return {
            name: _copy(safe_get_full_fp32_param(p)).view(_shape(p))
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
                out[f"{moment}/{name}"] = _copy(whole).view(_shape(parameter))
        return out

    def load_moments(self, moments: dict[str, Tensor], *, steps: int) -> None:
        """Set both Adam moments and the step count."""
        from deepspeed.utils import safe_set_full_optimizer_state

        self._fill_state(steps)
        for name, parameter in trained_parameters(self.module):
            for moment in MOMENTS:
                value = moments[f"{moment}/{name}"].to(parameter.device)
                if self.zero_stage == 0:
                    self.optimizer.state[parameter][moment].copy_(value)
                else:
                    safe_set_full_optimizer_state(parameter, value, moment)

    def close(self) -> None:
        """Take DeepSpeed's hooks off the parameters, which would keep them alive."""
        self.engine.destroy()
        for parameter in self.module.parameters():
            for name in ("_hp_mapping", "_zero_optimizer", "_z3_optimizer", "_dp_group"):
                if hasattr(parameter, name):
                    delattr(parameter, name)
        self.optimizer.state.clear()
        self.optimizer.param_groups.clear()

    def _clip(self) -> bool:
        """Clip the whole gradient; drop it where its norm is not finite, so that AdamW does nothing."""
        from deepspeed.runtime.utils import clip_grad_norm_

        parameters = list(self.module.parameters())
        norm = clip_grad_norm_(parameters, max_norm=self.clip, mpu=self.engine.mpu)
        finite = bool(torch.isfinite(torch.as_tensor(norm)))
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
                "step": _steps(steps, tensor),
                **{moment: torch.zeros_like(tensor, requires_grad=False) for moment in MOMENTS},
            }
        if hasattr(zero, "_lazy_init_hp_params_optimizer_state"):
            zero._hp_optimizer_states_linked = False
            zero._lazy_init_hp_params_optimizer_state()


def import_deepspeed() -> Any:
    """Import DeepSpeed without compiling anything: its CPU collective takes a minute to build."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    return deepspeed


def _copy(tensor: Any) -> Tensor:
    return tensor.detach().to(device="cpu", dtype=torch.float32, copy=True).contiguous()


def _steps(steps: int, parameter: Tensor) -> Tensor:
    """Return the count of steps as fused AdamW keeps it: beside the weights."""
    return torch.tensor(float(steps), device=parameter.device)


def _shape(parameter: Any) -> torch.Size:
    """Return a parameter's whole shape; under ZeRO 3 the parameter itself is empty."""
    return getattr(parameter, "ds_shape", parameter.shape)
