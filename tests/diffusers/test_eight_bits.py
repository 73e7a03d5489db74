"""Layers that multiply in 8 bits, beside those that they take the place of."""

from typing import Any

import pytest

pytest.importorskip("diffusers", reason="the extra diffusers is not installed")

import torch

from squero.engines.diffusers import loading
from squero.engines.diffusers.eight_bits import NARROW, EightBits, multiplies, narrow
from squero.engines.diffusers.options import Unready, read

from . import tiny

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("default")]


@pytest.fixture
def model() -> Any:
    """A tiny transformer of Wan whose sides fit."""
    torch.manual_seed(0)
    return tiny.wan_transformer(attention_head_dim=16)


def narrowed(model: Any) -> set[str]:
    return {name for name, layer in model.named_modules() if isinstance(layer, EightBits)}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_nearly_the_same(dtype: torch.dtype, bias: bool) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 48, bias=bias, dtype=dtype)
    given = torch.randn(2, 3, 64, dtype=dtype)
    with torch.no_grad():
        exact, rough = layer(given), EightBits(layer, "cpu")(given)
    assert (rough.shape, rough.dtype) == (exact.shape, exact.dtype)
    error = (rough.float() - exact.float()).norm() / exact.float().norm()
    assert 0 < error < 0.05


def test_large_and_no_numbers() -> None:
    layer = EightBits(torch.nn.Linear(16, 16, dtype=torch.bfloat16), "cpu")
    with torch.no_grad():
        assert layer(torch.full((1, 16), 1e5, dtype=torch.bfloat16)).isfinite().all()
        assert torch.equal(layer(torch.zeros(1, 16, dtype=torch.bfloat16))[0], layer.bias)


class TestNarrow:
    def test_what_repeats(self, model: Any) -> None:
        count = narrow(model, "cpu")
        names = narrowed(model)
        assert count == len(names) == 2 * (8 + 2)
        assert {"blocks.0.attn1.to_q", "blocks.1.attn2.to_out.0", "blocks.1.ffn.net.2"} <= names
        assert all(name.startswith("blocks.") for name in names)
        assert model.blocks[0].attn1.to_q.weight.dtype == NARROW

    def test_what_does_not_fit_stays(self) -> None:
        model = tiny.wan_transformer(attention_head_dim=12)
        assert narrow(model, "cpu") == 0
        assert narrowed(model) == set()

    def test_what_scales_a_norm_stays(self) -> None:
        model = tiny.cog()["transformer"]
        model._repeated_blocks = ["CogVideoXBlock"]
        narrow(model, "cpu")
        assert narrowed(model)
        assert not [name for name in narrowed(model) if "norm" in name]

    def test_it_draws_nearly_the_same(self, model: Any) -> None:
        torch.manual_seed(0)
        given = {
            "hidden_states": torch.randn(1, 16, 2, 8, 8),
            "timestep": torch.tensor([500]),
            "encoder_hidden_states": torch.randn(1, 8, 32),
        }
        with torch.no_grad():
            exact = model(**given).sample
            narrow(model, "cpu")
            rough = model(**given).sample
        assert 0 < (rough - exact).norm() / exact.norm() < 0.1


def equipped(transformer: Any) -> None:
    """Set up a pipeline of this transformer, to multiply in 8 bits."""
    pipeline = type("Pipeline", (), {"transformer": transformer})
    options = read({"folder": "/", "pipeline": "WanPipeline", "fp8": "compute"})
    loading.equip(pipeline, options)


class TestRefused:
    def test_an_accelerator_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not multiplies("mps")
        monkeypatch.setattr(loading, "multiplies", lambda place: False)
        with pytest.raises(Unready, match=r"options\.fp8: there is no accelerator"):
            equipped(tiny.wan_transformer(attention_head_dim=16))

    def test_a_model_without(self) -> None:
        with pytest.raises(Unready, match=r"options\.fp8: this model has no layers"):
            equipped(tiny.cog()["transformer"])
