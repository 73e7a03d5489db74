"""Wan's models with random weights, which are as fast as real ones, made where they are to draw.

They never lie on a disk: the largest would be 70 GB there.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from squero.engines.diffusers.loading import device
from squero.shot import Shot

PROMPT = "A gondola crosses the lagoon at dawn, slow pan"


@dataclass(frozen=True)
class Subject:
    """A model to measure, and the clip that it draws."""

    words: str
    make: Callable[[], Any]
    width: int
    height: int
    frames: int
    pace: int
    steps: int

    @property
    def shot(self) -> Shot:
        """What is asked of the engine: as many of its frames as of the model's."""
        return Shot(PROMPT, self.width, self.height, self.frames, self.pace, 7)


def transformer(channels: int, heads: int, layers: int, inner: int, text: int) -> Any:
    """One of Wan's, with as many channels, heads, layers, and so wide inside."""
    return diffusers.WanTransformer3DModel(
        in_channels=channels,
        out_channels=channels,
        num_attention_heads=heads,
        num_layers=layers,
        ffn_dim=inner,
        text_dim=text,
    )


def encoder(width: int, layers: int, heads: int) -> Any:
    """The text encoder; a byte is a token, since its words are random too."""
    config = UMT5Config(
        vocab_size=256384,
        d_model=width,
        d_ff=width * 5 // 2,
        d_kv=64,
        num_layers=layers,
        num_heads=heads,
    )
    return UMT5EncoderModel(config)


def tokens() -> Any:
    """The tokenizer of bytes."""
    words = ["<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bare = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, "<unk>"))
    bare.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Split("", "isolated")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def wan(vae: Any, text: Any, *transformers: Any) -> Any:
    """A pipeline of these parts; with two transformers the first is for much noise."""
    two = {"transformer_2": transformers[1], "boundary_ratio": 0.875} if transformers[1:] else {}
    return diffusers.WanPipeline(
        tokenizer=tokens(),
        text_encoder=text,
        vae=vae,
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        ),
        transformer=transformers[0],
        expand_timesteps=vae.config.z_dim == 48,
        **two,
    )


def residual_vae(**changes: Any) -> Any:
    """The VAE of Wan 2.2 5B: cells of 16 by 16 pixels."""
    values = {
        "base_dim": 160,
        "decoder_base_dim": 256,
        "z_dim": 48,
        "in_channels": 12,
        "out_channels": 12,
        "is_residual": True,
        "patch_size": 2,
        "latents_mean": [0.0] * 48,
        "latents_std": [1.0] * 48,
        "scale_factor_spatial": 16,
        "scale_factor_temporal": 4,
    }
    return diffusers.AutoencoderKLWan(**values | changes)


def dense() -> Any:
    """Wan 2.2 TI2V-5B."""
    return wan(residual_vae(), encoder(4096, 24, 64), transformer(48, 24, 30, 14336, 4096))


def experts() -> Any:
    """Wan 2.2 T2V-A14B."""
    both = [transformer(16, 40, 40, 13824, 4096) for _ in range(2)]
    return wan(diffusers.AutoencoderKLWan(), encoder(4096, 24, 64), *both)


def small() -> Any:
    """The shape of the first in a size for tests."""
    vae = residual_vae(base_dim=3, decoder_base_dim=3, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    return wan(vae, encoder(64, 1, 1), transformer(48, 1, 2, 64, 64))


SUBJECTS: Mapping[str, Subject] = {
    "5b": Subject("Wan 2.2 TI2V-5B, 720p 5 s", dense, 1280, 704, 121, 24, 50),
    "a14b": Subject("Wan 2.2 T2V-A14B, 480p 5 s", experts, 832, 480, 81, 16, 40),
}
TINY = Subject("tiny", small, 64, 64, 9, 8, 8)


@contextmanager
def made(subject: Subject) -> Iterator[None]:
    """While this lasts, what would read weights makes random ones where they are to draw."""

    def read(_folder: object, *, dtype: Any, **_words: object) -> Any:
        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        try:
            with torch.device(device()):
                pipeline = subject.make()
        finally:
            torch.set_default_dtype(torch.float32)
        cast(pipeline, dtype if isinstance(dtype, dict) else {"default": dtype})
        return pipeline

    with patch.object(diffusers.WanPipeline, "from_pretrained", read):
        yield


def cast(pipeline: Any, dtypes: Mapping[str, Any]) -> None:
    """Bring the parts to the types in which they would have been read."""
    for name, part in pipeline.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        part.eval().to(dtypes.get(name, dtypes["default"]))
        # What the library keeps exact whatever it is told.
        kept = part._keep_in_fp32_modules if isinstance(part, diffusers.ModelMixin) else None
        exact = set(kept or ())
        for where, weight in part.named_parameters():
            if exact.intersection(where.split(".")):
                weight.data = weight.data.float()
