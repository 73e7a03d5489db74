"""Layers that multiply in 8 bits, which the accelerators that can do so do twice as fast.

What comes in is rounded for each row, the weights for each output, once. Imports torch.
"""

from typing import Any

import torch

NARROW = torch.float8_e4m3fn
MOST = torch.finfo(NARROW).max
STEP = 16
"""What both sides of a layer are multiples of, for the product in 8 bits."""


def multiplies(place: str) -> bool:
    """Whether there are products in 8 bits there; on a CPU there are, for tests: slow ones."""
    if place == "cuda":
        # Those of AMD have another kind of 8 bits.
        return torch.version.hip is None and torch.cuda.get_device_capability() >= (8, 9)
    return place == "cpu"


def narrow(model: Any, place: str) -> int:
    """Replace the layers in the model's repeated blocks; how many there were.

    Their weights are rounded at `place`, wherever they are kept.
    """
    replaced = 0
    for block in model.modules():
        if type(block).__name__ not in (model._repeated_blocks or ()):
            continue
        for name, layer in list(block.named_modules()):
            # What scales and shifts after a norm is little work, and its error would be everyone's.
            if type(layer) is torch.nn.Linear and "norm" not in name and fits(layer):
                block.set_submodule(name, EightBits(layer, place))
                replaced += 1
    return replaced


def fits(layer: torch.nn.Linear) -> bool:
    """Whether its sides are such that the product can be in 8 bits."""
    sides: tuple[int, int] = (layer.in_features, layer.out_features)
    return all(side % STEP == 0 for side in sides)


def rounded(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows in 8 bits, and what to multiply each with to have them back."""
    scale = rows.abs().amax(1, keepdim=True).float().clamp(min=1e-12) / MOST
    return (rows.float() / scale).to(NARROW), scale


class EightBits(torch.nn.Linear):  # type: ignore[misc]
    """A linear layer whose weights are kept in 8 bits and multiplied so."""

    def __init__(self, layer: torch.nn.Linear, place: str) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        home = layer.weight.device
        parts = rounded(layer.weight.detach().to(place))
        self.weight, self.scale = (_fixed(part.to(home)) for part in parts)
        # The product's own type, whatever comes in.
        bias = layer.bias
        self.bias = None if bias is None else _fixed(bias.detach().to(torch.bfloat16))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """The product, in the type of what is given."""
        rows, scale = rounded(given.reshape(-1, self.in_features))
        product = torch._scaled_mm(
            rows,
            self.weight.t(),
            scale_a=scale,
            scale_b=self.scale.t(),
            bias=self.bias,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return product.to(given.dtype).reshape(*given.shape[:-1], self.out_features)


def _fixed(tensor: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(tensor, requires_grad=False)
