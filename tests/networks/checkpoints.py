"""Small random checkpoints of transformers, as the hub has them: config, preprocessing, safetensors, card."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

CLASSES = 6  # of the checkpoints: other than in any test that fine-tunes them

_PYRAMID = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]}
_VIT = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 64, "patch_size": 16}
_SWIN: dict[str, Any] = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4}
_STAGES = ["stage1", "stage2", "stage3", "stage4"]


def _segformer() -> nn.Module:
    config = transformers.SegformerConfig(
        **_PYRAMID, num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16, num_labels=CLASSES
    )
    return transformers.SegformerForSemanticSegmentation(config)


def _upernet(backbone: Any, third: int) -> nn.Module:
    config = transformers.UperNetConfig(
        backbone_config=backbone,
        hidden_size=16,
        auxiliary_in_channels=third,
        auxiliary_channels=8,
        num_labels=CLASSES,
    )
    return transformers.UperNetForSemanticSegmentation(config)


def _upernet_convnext() -> nn.Module:
    return _upernet(transformers.ConvNextConfig(**_PYRAMID, out_features=_STAGES), third=24)


def _upernet_swin() -> nn.Module:
    return _upernet(transformers.SwinConfig(**_SWIN, out_features=_STAGES), third=32)


def _beit() -> nn.Module:
    config = transformers.BeitConfig(
        **_VIT,
        num_hidden_layers=4,
        out_indices=[1, 2, 3, 4],
        use_relative_position_bias=True,
        use_absolute_position_embeddings=False,
        auxiliary_channels=8,
        num_labels=CLASSES,
    )
    return transformers.BeitForSemanticSegmentation(config)


def _dpt() -> nn.Module:
    config = transformers.DPTConfig(
        **_VIT,
        num_hidden_layers=4,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16,
        is_hybrid=False,
        num_labels=CLASSES,
    )
    return transformers.DPTForSemanticSegmentation(config)


def _mobilevit() -> nn.Module:
    config = transformers.MobileViTConfig(
        hidden_sizes=[16, 24, 32],
        neck_hidden_sizes=[8, 8, 16, 24, 32, 40, 48],
        aspp_out_channels=16,
        num_attention_heads=2,
        num_labels=CLASSES,
    )
    return transformers.MobileViTForSemanticSegmentation(config)


def _mobilenet_v2() -> nn.Module:
    config = transformers.MobileNetV2Config(depth_multiplier=0.25, num_labels=CLASSES)
    return transformers.MobileNetV2ForSemanticSegmentation(config)


def _mask2former() -> nn.Module:
    config = transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(**_SWIN, out_features=_STAGES),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        encoder_layers=2,
        decoder_layers=3,
        num_attention_heads=2,
        dim_feedforward=32,
        num_queries=8,
        num_labels=CLASSES,
    )
    return transformers.Mask2FormerForUniversalSegmentation(config)


def _eomt() -> nn.Module:
    config = transformers.EomtConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        num_blocks=2,
        num_queries=8,
        num_upscale_blocks=2,
        num_labels=CLASSES,
    )
    return transformers.EomtForUniversalSegmentation(config)


def _mobilevitv2() -> nn.Module:
    config = transformers.MobileViTV2Config(
        width_multiplier=0.25, n_attn_blocks=[1, 1, 1], base_attn_unit_dims=[32, 48, 64], num_labels=CLASSES
    )
    return transformers.MobileViTV2ForSemanticSegmentation(config)


def _maskformer() -> nn.Module:
    decoder = transformers.DetrConfig(
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=8,
    )
    config = transformers.MaskFormerConfig(
        backbone_config=transformers.SwinConfig(**_SWIN, out_features=_STAGES),
        decoder_config=decoder,
        fpn_feature_size=32,
        mask_feature_size=32,
        num_labels=CLASSES,
    )
    return transformers.MaskFormerForInstanceSegmentation(config)


def _eomt_dinov3() -> nn.Module:
    config = transformers.EomtDinov3Config(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        num_blocks=2,
        num_queries=8,
        num_upscale_blocks=2,
        num_labels=CLASSES,
    )
    return transformers.EomtDinov3ForUniversalSegmentation(config)


TRANSFORMERS = {
    "mobilevitv2": _mobilevitv2,
    "maskformer": _maskformer,
    "eomt_dinov3": _eomt_dinov3,
    "segformer": _segformer,
    "upernet-convnext": _upernet_convnext,
    "upernet-swin": _upernet_swin,
    "beit": _beit,
    "dpt": _dpt,
    "mobilevit": _mobilevit,
    "mobilenet_v2": _mobilenet_v2,
    "mask2former": _mask2former,
    "eomt": _eomt,
}


def transformers_checkpoint(folder: Path, family: str, seed: int = 0, **preprocessing: Any) -> Path:
    """A folder as `save_pretrained` writes it, with preprocessor_config.json and a card that states a licence."""
    torch.manual_seed(seed)
    network = TRANSFORMERS[family]().eval()
    network.save_pretrained(folder)
    said = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, **preprocessing}
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3], **said}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    return folder
