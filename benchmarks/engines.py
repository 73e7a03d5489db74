"""How fast the engine `diffusers` draws: `python -m benchmarks.engines [--tiny]`.

Full-size models with random weights, which are as fast as real ones: seconds a step and a clip, and
the most memory on the GPU, beside the plain pipeline in the same run. Needs a GPU, the extra, and
70 GB for the weights where temporary files go; with `--tiny` a tiny model shows that it runs.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from benchmarks.report import Report
from squero.engines.diffusers import Diffusers
from squero.shot import Shot

PROMPT = "A gondola crosses the lagoon at dawn, slow pan"
TOKENS = 512
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "as it comes": {},
    "cuDNN's attention": {"attention": "_native_cudnn"},
    "compiled": {"compile": True},
    "compiled, cache 0.05": {"compile": True, "cache": 0.05},
    "8 bits": {"fp8": True},
}


@dataclass(frozen=True)
class Subject:
    """A model to measure, and the clip that it draws."""

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
    "Wan 2.2 TI2V-5B, 720p 5 s": Subject(dense, 1280, 704, 121, 24, 50),
    "Wan 2.2 T2V-A14B, 480p 5 s": Subject(experts, 832, 480, 81, 16, 40),
}
TINY = {"tiny": Subject(small, 64, 64, 9, 8, 2)}


def main() -> None:
    """Measure what there is to measure, or say that there is nothing."""
    parser = argparse.ArgumentParser("python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="only show that it runs")
    tiny = parser.parse_args().tiny
    console = Console(width=120)
    if not tiny and not torch.cuda.is_available():
        console.print("There is no GPU that torch can use here: nothing was measured.")
        return
    report = Report(
        "engines: random weights, one clip",
        ("model", "options", "s a step", "s a clip", "peak GB"),
    )
    for name, subject in (TINY if tiny else SUBJECTS).items():
        with tempfile.TemporaryDirectory(prefix="squero-bench-") as folder:
            measure(report, name, subject, Path(folder), tiny=tiny)
            report.show(console)


def measure(report: Report, name: str, subject: Subject, folder: Path, *, tiny: bool) -> None:
    """The plain pipeline, then the engine with each set of options, from the same files."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(place()):
        subject.make().save_pretrained(folder / "weights")
    torch.set_default_dtype(torch.float32)
    report.add(name, "the plain pipeline", *timed(partial(plain, subject, folder)))
    sets = {"as it comes": {}, "8 bits": {"fp8": True}} if tiny else OPTIONS
    for words, options in sets.items():
        engine = Diffusers(
            folder=str(folder / "weights"),
            pipeline="WanPipeline",
            fps=subject.pace,
            dtype="bfloat16",
            call={"num_inference_steps": subject.steps, "max_sequence_length": TOKENS},
            **options,
        )
        engine.load()
        draw = partial(engine.render, subject.shot, folder / "out.mp4")
        draw(lambda share, note=None: None)  # the first compiles, and fills what is kept
        report.add(name, words, *timed(draw))
        del engine, draw


def place() -> str:
    """Where the tensors are."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def plain(subject: Subject, folder: Path, tell: Callable[[float], None]) -> None:
    """What the library's own page says, without us."""
    pipeline = diffusers.WanPipeline.from_pretrained(
        folder / "weights", dtype=torch.bfloat16, local_files_only=True
    ).to(place())

    def told(_pipeline: Any, step: int, _time: Any, words: dict[str, Any]) -> dict[str, Any]:
        tell(0.9 * (step + 1) / subject.steps)
        return words

    tell(0.0)
    pipeline(
        PROMPT,
        width=subject.width,
        height=subject.height,
        num_frames=subject.frames,
        num_inference_steps=subject.steps,
        max_sequence_length=TOKENS,
        callback_on_step_end=told,
    )


def timed(draw: Callable[[Callable[..., None]], None]) -> tuple[float, float, float]:
    """Seconds a step and from the first step to the end, and gigabytes at the most."""
    steps: list[float] = []

    def tell(share: float, note: str | None = None) -> None:
        if share <= 0.9:
            steps.append(time.monotonic())

    torch.cuda.empty_cache()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    draw(tell)
    ended = time.monotonic()
    peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
    return (steps[-1] - steps[0]) / (len(steps) - 1), ended - steps[0], peak


if __name__ == "__main__":
    main()
