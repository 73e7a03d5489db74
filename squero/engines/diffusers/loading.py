"""A folder of weights as a pipeline that is ready to draw. Imports torch, so it is imported late.

Nothing is fetched from anywhere: no hub, no code out of the folder, no pickles.
"""

from collections.abc import Iterator
from typing import Any

import diffusers
import torch
from diffusers.hooks import FirstBlockCacheConfig

from squero.engines.diffusers.dividing import divide
from squero.engines.diffusers.eight_bits import multiplies, narrow
from squero.engines.diffusers.options import Options, Unready
from squero.engines.diffusers.ranks import Ranks
from squero.engines.diffusers.reading import read_whole


def loaded(options: Options, ranks: Ranks | None = None) -> Any:
    """The pipeline that the options describe; raises Unready, which names the one at fault.

    Of several ranks each reads it whole, and computes its part.
    """
    kind = kind_of(options.pipeline)
    if not (options.folder / "model_index.json").is_file():
        raise Unready(f"options.folder: no model_index.json in {options.folder}")
    place = ranks.place if ranks else device()
    try:
        pipeline = kind.from_pretrained(
            str(options.folder),
            dtype=dtypes(options, place),
            local_files_only=True,
            use_safetensors=True,
        )
    except Exception as wrong:
        raise unready("options.folder", wrong) from wrong
    read_whole(pipeline)
    add_loras(pipeline, options)
    equip(pipeline, options)
    if ranks:
        for one in transformers(pipeline):
            divide(pipeline, one, ranks)
    settle(pipeline, options, place)
    return pipeline


def unready(option: str, wrong: Exception) -> Unready:
    """What the libraries raise, which may be anything, with the name of the option at fault."""
    return Unready(f"{option}: {' '.join(str(wrong).split()) or type(wrong).__name__}")


def kind_of(name: str) -> Any:
    """The class of diffusers with this name; raises Unready."""
    kind = getattr(diffusers, name, None)
    if not isinstance(kind, type) or not issubclass(kind, diffusers.DiffusionPipeline):
        raise Unready(f"options.pipeline: diffusers {diffusers.__version__} has no {name}")
    return kind


def device() -> str:
    """Where the tensors are: an accelerator if there is one."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def dtypes(options: Options, place: str) -> Any:
    """What the weights are read as: one type, or one by the name of a component."""
    usual = "float32" if place == "cpu" else "bfloat16"
    wanted = options.dtype or usual
    if isinstance(wanted, str):
        return getattr(torch, wanted)
    return {name: getattr(torch, one) for name, one in {"default": usual, **wanted}.items()}


def transformers(pipeline: Any) -> Iterator[Any]:
    """The one that draws, or both experts."""
    for name in ("transformer", "transformer_2"):
        if (one := getattr(pipeline, name, None)) is not None:
            yield one


def add_loras(pipeline: Any, options: Options) -> None:
    """Add the weights of every LoRA to those of its transformer, for good."""
    for number, lora in enumerate(options.loras):
        where = f"options.loras.{number}.file"
        if not lora.file.is_file():
            raise Unready(f"{where}: there is no {lora.file}")
        second = {"load_into_transformer_2": True} if lora.transformer == "transformer_2" else {}
        try:
            pipeline.load_lora_weights(
                str(lora.file.parent),
                weight_name=lora.file.name,
                adapter_name=f"lora{number}",
                local_files_only=True,
                use_safetensors=True,
                **second,
            )
            pipeline.fuse_lora(components=[lora.transformer], lora_scale=lora.weight)
        except Exception as wrong:
            raise unready(where, wrong) from wrong
        pipeline.unload_lora_weights()


def equip(pipeline: Any, options: Options) -> None:
    """Set how the transformers keep, attend and remember, and how the VAE decodes."""
    for one in transformers(pipeline):
        if options.fp8 == "compute":
            if not multiplies(device()):
                raise Unready("options.fp8: there is no accelerator that multiplies in 8 bits")
            if not narrow(one, device()):
                raise Unready("options.fp8: this model has no layers to multiply in 8 bits")
        elif options.fp8:
            one.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=one.dtype)
        if options.attention:
            try:
                one.set_attention_backend(options.attention)
            except (ValueError, RuntimeError, ImportError) as wrong:
                raise unready("options.attention", wrong) from wrong
        if options.cache:
            one.enable_cache(FirstBlockCacheConfig(threshold=options.cache))
    if options.vae_tiling:
        pipeline.vae.enable_tiling()


def settle(pipeline: Any, options: Options, place: str) -> None:
    """Bring the pipeline to where it draws, and compile what is to be compiled."""
    if options.offload and place == "cpu":
        raise Unready("options.offload: there is no accelerator to bring anything to")
    match options.offload:
        case "model":
            pipeline.enable_model_cpu_offload(device=place)
        case "sequential":
            pipeline.enable_sequential_cpu_offload(device=place)
        case "group":
            pipeline.enable_group_offload(
                onload_device=torch.device(place),
                offload_type="leaf_level",
                use_stream=place.startswith("cuda"),
            )
        case None:
            pipeline.to(place)
    if options.compile:
        for one in transformers(pipeline):
            try:
                one.compile_repeated_blocks()
            except ValueError as wrong:
                raise unready("options.compile", wrong) from wrong


def sown(seed: int) -> Any:
    """The source of chance of a render: on the CPU, so that it is the same on any device."""
    return torch.Generator("cpu").manual_seed(seed)


def quieten() -> None:
    """Let the libraries neither draw bars nor repeat a prompt in a warning."""
    from transformers.utils import logging

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
