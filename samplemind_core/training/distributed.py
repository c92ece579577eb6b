"""Several processes that take each step together: what one does for all, and what all do as one.

The batch of the settings is the batch of all processes. Each of them draws the whole batch, its order,
augmentation, mixup and dropout, from the same place in the run, and computes its own part of it: a run on
several devices takes the steps that one process would take, up to rounding. What would otherwise depend on
how a batch is cut is shared: batch norms measure the whole batch, dropout masks are drawn for the whole
batch, and a part counts for as many clips as it has.

:class:`Alone` is what one process does by itself, to the bit what it did before there was anybody else.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm

from samplemind_core.training.device import describe

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class Alone:
    """One process that trains by itself."""

    rank = 0
    """Place among the processes; the first one measures, writes and tells."""
    size = 1
    """How many processes there are."""
    device: torch.device | None = None
    """This process's own, where it may not choose."""

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return what a training step calls in place of the network, which keeps its parameters and names."""
        return model

    def part(self, count: int) -> slice:
        """Return which of ``count`` clips, those of one step or of one judgement, are this process's own."""
        return slice(0, count)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of values (n,) over all processes."""
        return values

    def agreed(self, flag: bool) -> bool:
        """Return what the first process says."""
        return flag

    def together(self, part: Tensor, count: int) -> Tensor:
        """Return rows (count, …) on the CPU of which each process has its own part (n, …)."""
        return part

    def describe(self, device: torch.device) -> str:
        """Return where the run trains, for people."""
        return describe(device)


class Ranks(Alone):
    """One process among those that torchrun started, each on a device of its own.

    Parameters
    ----------
    device : torch.device
        This process's own.
    """

    device: torch.device

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.device = device
        # Words between processes go over the CPU, so that they never wait for what a GPU has yet to do.
        self._words = dist.new_group(backend="gloo")
        self.whole = 0
        self.own = slice(0, 0)

    def prepare(self, model: nn.Module) -> nn.Module:
        """Share the network's batch norms and dropout, and return it with gradients averaged over processes."""
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        _replace(model, self)
        return nn.parallel.DistributedDataParallel(
            model,
            device_ids=[self.device] if on_gpu else None,
            forward_sync_buffers=False,  # they are the same everywhere already
        )

    def part(self, count: int) -> slice:
        """Return this process's own of ``count`` clips: as many as each other has, the first ones one more."""
        self.whole = count
        each, more = divmod(count, self.size)
        start = self.rank * each + min(self.rank, more)
        self.own = slice(start, start + each + (self.rank < more))
        return self.own

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        dist.all_reduce(values)
        return values

    def agreed(self, flag: bool) -> bool:
        """Return what the first process says."""
        word = torch.tensor([flag], dtype=torch.uint8)
        dist.broadcast(word, 0, group=self._words)
        return bool(word.item())

    def together(self, part: Tensor, count: int) -> Tensor:
        """Return the rows of all processes in their order."""
        whole = part.new_zeros((count, *part.shape[1:]))
        whole[self.own] = part
        dist.all_reduce(whole, group=self._words)  # adding zeros changes nothing
        return whole

    def describe(self, device: torch.device) -> str:
        """Return where the run trains, for people."""
        return f"{self.size} × {describe(device)}"


def _replace(module: nn.Module, ranks: Ranks) -> None:
    """Put shared layers in the place of those whose result depends on how a batch is cut."""
    for name, child in module.named_children():
        if isinstance(child, DROPOUTS):
            module.register_module(name, SharedDropout(child, ranks))
        elif isinstance(child, _BatchNorm) and not isinstance(child, nn.SyncBatchNorm):
            module.register_module(name, SharedBatchNorm(child))
        else:
            _replace(child, ranks)


class SharedDropout(nn.Module):
    """Dropout with the masks of the whole batch, of which a process takes its part.

    On the CPU these are the very masks that one process would draw; a GPU's own dropout draws otherwise.

    Parameters
    ----------
    layer : Dropout, Dropout1d, Dropout2d or Dropout3d
        What it takes the place of.
    ranks : Ranks
        Knows the part.
    """

    def __init__(self, layer: nn.Module, ranks: Ranks) -> None:
        super().__init__()
        assert isinstance(layer, DROPOUTS)
        self.p, self._maps, self._ranks = layer.p, not isinstance(layer, nn.Dropout), ranks

    def forward(self, values: Tensor) -> Tensor:
        """Return values (B, …) with some set to zero and the others scaled up while training."""
        if not self.training or self.p == 0:
            return values
        rest = [values.shape[1], *[1] * (values.ndim - 2)] if self._maps else values.shape[1:]
        # Masks are drawn in the order of memory.
        mapped = values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if mapped else torch.contiguous_format
        noise = values.new_empty((self._ranks.whole, *rest)).contiguous(memory_format=layout)
        noise.bernoulli_(1 - self.p).div_(1 - self.p)
        return values * noise[self._ranks.own]


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm that measures the clips of all processes, as ``SyncBatchNorm`` does on GPUs only.

    Parameters
    ----------
    layer : BatchNorm1d, BatchNorm2d or BatchNorm3d
        What it takes the place of; its weights and statistics are used, not copied.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        self.training = layer.training

    def _check_input_dim(self, input: Tensor) -> None:
        """Take maps of any number of dimensions."""

    def forward(self, values: Tensor) -> Tensor:
        """Return values (B, C, …) with mean and variance of each channel taken out."""
        if not self.training:
            return super().forward(values)
        result, mean, variance, count = cast(
            "tuple[Tensor, Tensor, Tensor, Tensor]",
            _Normalised.apply(values, self.weight, self.bias, self.eps),  # type: ignore[no-untyped-call]
        )
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked.add_(1)
                share = 1.0 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * count / (count - 1), share)
        return result


class _Normalised(torch.autograd.Function):
    """Batch normalisation over all processes: one exchange forward, one backward.

    Each process tells its count, mean and sum of squared deviations; these are merged as by Chan, Golub and
    LeVeque (1979), which loses no digits where the mean is large.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dims = [0, *range(2, values.ndim)]
        wide = (1, -1, *[1] * (values.ndim - 2))
        precise = values.float()
        channels = values.shape[1]
        count = values.numel() // channels
        mean = precise.sum(dims) / max(1, count)  # a process may be without a clip
        squares = (precise - mean.view(wide)).square_().sum(dims)
        table = values.new_zeros((dist.get_world_size(), 1 + 2 * channels), dtype=torch.float32)
        table[dist.get_rank()] = torch.cat([mean.new_tensor([count]), mean, squares])
        dist.all_reduce(table)
        counts, means, squares = table[:, :1], table[:, 1 : 1 + channels], table[:, 1 + channels :]
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (squares.sum(0) + (counts * (means - mean).square()).sum(0)) / total
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(values, weight, mean, scale, total)
        slope = scale if weight is None else scale * weight
        offset = -mean * slope if bias is None else bias - mean * slope
        result = torch.addcmul(offset.view(wide), precise, slope.view(wide)).to(values.dtype)
        ctx.mark_non_differentiable(mean, variance, total)
        return result, mean, variance, total

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        values, weight, mean, scale, total = ctx.saved_tensors
        dims = [0, *range(2, values.ndim)]
        wide = (1, -1, *[1] * (values.ndim - 2))
        normal = (values.float() - mean.view(wide)).mul_(scale.view(wide))
        precise = grad.float()
        sums = torch.stack([precise.sum(dims), (precise * normal).sum(dims)])
        own = sums.clone()  # of weights and biases each process has its share; gradients are averaged elsewhere
        dist.all_reduce(sums)
        means = sums / total
        slope = scale if weight is None else scale * weight
        inner = torch.addcmul(precise - means[0].view(wide), normal, means[1].view(wide), value=-1.0)
        inner.mul_(slope.view(wide))
        return (
            inner.to(values.dtype),
            own[1] if ctx.needs_input_grad[1] else None,
            own[0] if ctx.needs_input_grad[2] else None,
            None,
        )
