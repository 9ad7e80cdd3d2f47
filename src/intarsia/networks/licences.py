"""Licences of published weights, as far as their publishers state them. The code's licence is another matter.

The longest entry counts that the name begins with. What is not here is said to be unknown, not guessed.
"""

import re
from collections.abc import Mapping
from pathlib import Path

UNKNOWN = "unknown: see where they were published"
_NVIDIA = "NVIDIA Source Code License for SegFormer: non-commercial"
_WEAKLY_SUPERVISED = "CC-BY-NC-4.0: non-commercial"

SMP: Mapping[str, str] = {  # the encoders of segmentation_models_pytorch: name, or name.weights
    "resnet": "BSD-3-Clause (torchvision)",
    "resnet18.ssl": _WEAKLY_SUPERVISED,
    "resnet18.swsl": _WEAKLY_SUPERVISED,
    "resnet50.ssl": _WEAKLY_SUPERVISED,
    "resnet50.swsl": _WEAKLY_SUPERVISED,
    "resnext50_32x4d": "BSD-3-Clause (torchvision)",
    "resnext50_32x4d.ssl": _WEAKLY_SUPERVISED,
    "resnext50_32x4d.swsl": _WEAKLY_SUPERVISED,
    "resnext101": _WEAKLY_SUPERVISED,
    "resnext101_32x8d.imagenet": "BSD-3-Clause (torchvision)",
    "vgg": "BSD-3-Clause (torchvision)",
    "densenet": "BSD-3-Clause (torchvision)",
    "mobilenet_v2": "BSD-3-Clause (torchvision)",
    "efficientnet": "Apache-2.0",
    "timm-": "Apache-2.0",
    "dpn": "Apache-2.0",
    "senet154": "BSD-3-Clause",
    "se_": "BSD-3-Clause",
    "inception": "BSD-3-Clause",
    "xception": "BSD-3-Clause",
    "mobileone": "MobileOne licence (Apple)",
    "mit_": _NVIDIA,
}
HUB: Mapping[str, str] = {  # repositories of the hub whose cards only say "other"
    "nvidia/mit-": _NVIDIA,
    "nvidia/segformer-": _NVIDIA,
    "apple/deeplabv3-mobilevit": "Apple sample code licence",
    "apple/mobilevit": "Apple sample code licence",
}
TORCHVISION = "BSD-3-Clause (torchvision)"


def stated_in(card: Path | None) -> str | None:
    """The licence in the head of a repository's README.md; its name or link where it only says "other"."""
    if card is None or not card.is_file():
        return None
    head = card.read_text(encoding="utf-8", errors="replace").partition("\n---")[0]
    said = dict(re.findall(r"^(license|license_name|license_link):[ \t]*(\S.*)$", head, re.MULTILINE))
    if said.get("license") == "other":
        return said.get("license_name") or said.get("license_link")
    return said.get("license")


def licence_of(name: str, table: Mapping[str, str]) -> str:
    """The licence of the weights of this name."""
    fitting = [start for start in table if name.startswith(start)]
    return table[max(fitting, key=len)] if fitting else UNKNOWN
