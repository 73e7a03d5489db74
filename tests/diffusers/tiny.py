"""Tiny models with random weights, in the shapes of the real ones, for folders of weights."""

from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15Transformer3DModel,
    LTX2VideoTransformer3DModel,
    UniPCMultistepScheduler,
    WanTransformer3DModel,
)
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    ByT5Tokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

TEXT = 32
VOCABULARY = 384
LETTERS = ["<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
CHAT = "{% for message in messages %}{{ message.content }}{% endfor %}"

Parts = dict[str, Any]


def tokenizer(length: int = 64) -> Any:
    """One token a byte."""
    bare = Tokenizer(models.WordLevel({word: at for at, word in enumerate(LETTERS)}, "<unk>"))
    bare.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Split("", "isolated")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=length,
        chat_template=CHAT,
    )


def t5() -> Any:
    config = T5Config(
        vocab_size=VOCABULARY, d_model=TEXT, d_kv=8, d_ff=37, num_layers=1, num_heads=4
    )
    return T5EncoderModel(config).eval()


def wan_vae(**changes: Any) -> Any:
    values = {"base_dim": 3, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
    return AutoencoderKLWan(**values | {"temperal_downsample": [False, True, True]} | changes)


def wan_transformer(**changes: Any) -> Any:
    values = {
        "patch_size": (1, 2, 2),
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 16,
        "out_channels": 16,
        "text_dim": TEXT,
        "freq_dim": 64,
        "ffn_dim": 32,
        "num_layers": 2,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 64,
    }
    return WanTransformer3DModel(**values | changes)


def wan() -> Parts:
    """Wan 2.1 from text."""
    return {
        "tokenizer": tokenizer(),
        "text_encoder": t5(),
        "vae": wan_vae(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
        "transformer": wan_transformer(),
    }


def wan_image(**changes: Any) -> Parts:
    """Wan 2.1 from an image, which it also looks at with an encoder of its own."""
    sight = CLIPVisionConfig(
        hidden_size=4,
        projection_dim=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        intermediate_size=16,
        patch_size=8,
    )
    return wan() | {
        "transformer": wan_transformer(in_channels=36, image_dim=4, **changes),
        "image_encoder": CLIPVisionModelWithProjection(sight).eval(),
        "image_processor": CLIPImageProcessorPil(crop_size=32, size=32),
    }


def wan_ends() -> Parts:
    """Wan 2.1 from a first and a last image: 16 pieces of each, and the whole."""
    return wan_image(pos_embed_seq_len=2 * 17)


def wan_experts(channels: int = 16) -> Parts:
    """Wan 2.2 A14B: one expert for much noise and one for little; 36 channels from an image."""
    return wan() | {
        "transformer": wan_transformer(in_channels=channels),
        "transformer_2": wan_transformer(in_channels=channels),
        "boundary_ratio": 0.875,
    }


def wan_dense() -> Parts:
    """Wan 2.2 TI2V-5B, from text or an image: sides by 32 and a time step for each frame."""
    return wan() | {
        "vae": wan_vae(
            z_dim=48,
            in_channels=12,
            out_channels=12,
            is_residual=True,
            patch_size=2,
            latents_mean=[0.0] * 48,
            latents_std=[1.0] * 48,
            scale_factor_spatial=16,
            scale_factor_temporal=4,
        ),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        "transformer": wan_transformer(in_channels=48, out_channels=48),
        "expand_timesteps": True,
    }


def gemma() -> Any:
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": TEXT,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "pad_token_id": 0,
    }
    sight = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=sight, mm_tokens_per_image=4)
    ).eval()


def ltx_vae() -> Any:
    """Makes one of 32 by 32 pixels in 8 frames, as the real one does."""
    return AutoencoderKLLTX2Video(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True, True),
        decoder_spatio_temporal_scaling=(True, True, True),
        decoder_inject_noise=(False, False, False, False),
        downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        upsample_residual=(False, False, False),
        upsample_factor=(1, 1, 1),
        timestep_conditioning=False,
        patch_size=4,
        patch_size_t=1,
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
        encoder_causal=True,
        decoder_causal=False,
    )


def ltx() -> Parts:
    """LTX-2, with sound."""
    heads = {"num_attention_heads": 4, "attention_head_dim": 8, "num_layers": 1}
    connectors = {
        f"{kind}_connector_{name}": value
        for kind in ("video", "audio")
        for name, value in (heads | {"num_learnable_registers": None}).items()
    }
    sound = AutoencoderKLLTX2Audio(
        base_channels=4,
        output_channels=2,
        ch_mult=(1,),
        num_res_blocks=1,
        attn_resolutions=None,
        in_channels=2,
        resolution=32,
        latent_channels=2,
        norm_type="pixel",
        causality_axis="height",
        dropout=0.0,
        mid_block_add_attention=False,
        sample_rate=16000,
        mel_hop_length=160,
        is_causal=True,
        mel_bins=8,
    )
    return {
        "tokenizer": tokenizer(),
        "text_encoder": gemma(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": ltx_vae(),
        "audio_vae": sound,
        "connectors": LTX2TextConnectors(
            caption_channels=TEXT,
            text_proj_in_factor=3,
            connector_rope_base_seq_len=32,
            rope_double_precision=False,
            rope_type="split",
            **connectors,
        ),
        "transformer": LTX2VideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            audio_in_channels=4,
            audio_out_channels=4,
            audio_num_attention_heads=2,
            audio_attention_head_dim=4,
            audio_cross_attention_dim=8,
            num_layers=2,
            qk_norm="rms_norm_across_heads",
            caption_channels=TEXT,
            rope_double_precision=False,
            rope_type="split",
        ),
        "vocoder": LTX2Vocoder(
            in_channels=sound.config.output_channels * sound.config.mel_bins,
            hidden_channels=32,
            out_channels=2,
            upsample_kernel_sizes=[16, 40],
            upsample_factors=[8, 20],
            resnet_kernel_sizes=[3],
            resnet_dilations=[[1, 3, 5]],
            leaky_relu_negative_slope=0.1,
            output_sampling_rate=16000,
        ),
    }


def hunyuan(task: str = "t2v") -> Parts:
    """HunyuanVideo 1.5, with its Qwen and its reader of glyphs."""
    qwen = Qwen2_5_VLTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        rope_scaling={"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
    )
    return {
        "tokenizer": tokenizer(1108),
        "text_encoder": Qwen2_5_VLTextModel(qwen).eval(),
        "tokenizer_2": ByT5Tokenizer(),
        "text_encoder_2": t5(),
        "guider": ClassifierFreeGuidance(guidance_scale=1.0),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
        "vae": AutoencoderKLHunyuanVideo15(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            block_out_channels=(16, 16, 16, 16, 16),
            layers_per_block=1,
            spatial_compression_ratio=16,
            temporal_compression_ratio=4,
            downsample_match_channel=False,
            upsample_match_channel=False,
        ).eval(),
        "transformer": HunyuanVideo15Transformer3DModel(
            in_channels=9,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            num_refiner_layers=1,
            mlp_ratio=2.0,
            patch_size=1,
            patch_size_t=1,
            text_embed_dim=16,
            text_embed_2_dim=TEXT,
            image_embed_dim=12,
            rope_axes_dim=(2, 2, 4),
            target_size=80,
            task_type=task,
        ).eval(),
    }


def hunyuan_image() -> Parts:
    """The same from an image, by whose shape it chooses the size."""
    sight = SiglipVisionConfig(
        hidden_size=12,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    return hunyuan("i2v") | {
        "image_encoder": SiglipVisionModel(sight).eval(),
        "feature_extractor": SiglipImageProcessorPil(size={"height": 16, "width": 16}),
    }


def cog(channels: int = 4) -> Parts:
    """CogVideoX 5B; from an image with 8 channels."""
    four = ("CogVideoXDownBlock3D",) * 4, ("CogVideoXUpBlock3D",) * 4
    return {
        "tokenizer": tokenizer(),
        "text_encoder": t5(),
        "scheduler": CogVideoXDDIMScheduler(),
        "vae": AutoencoderKLCogVideoX(
            in_channels=3,
            out_channels=3,
            down_block_types=four[0],
            up_block_types=four[1],
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            temporal_compression_ratio=4,
        ),
        "transformer": CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=channels,
            out_channels=4,
            time_embed_dim=2,
            text_embed_dim=TEXT,
            num_layers=1,
            sample_width=8,
            sample_height=8,
            sample_frames=9,
            patch_size=2,
            temporal_compression_ratio=4,
            max_text_seq_length=16,
            use_rotary_positional_embeddings=True,
        ),
    }


def seeded(parts: Any) -> Parts:
    """The same random weights on every call."""
    torch.manual_seed(0)
    made: Parts = parts()
    return made
