"""What a network is to us: how to build it, what it divides its input by, where its weights come from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from intarsia.settings import ModelSettings

# Of ImageNet's pictures in RGB, for values 0..1: what most published weights were trained with.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Blueprint:
    """Everything that decides a network's shape, as plain data. A model file keeps it.

    Attributes:
        settings: the section `model`; its name is what was asked for.
        bands: of the network's input.
        classes: number of logits.
        config: how the source library describes the network, where the settings do not say it all.
    """

    settings: ModelSettings
    bands: int
    classes: int
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fold(self) -> int:
        """Pixels that the stem folds into bands: so many bands of the input come from each of the image."""
        return (self.settings.stem or 1) ** 2

    @property
    def variant(self) -> str:
        """What follows the source in the name: `Unet/resnet34` of `smp:Unet/resnet34`."""
        return str(self.settings.name).partition(":")[2]


@dataclass(frozen=True)
class Pretrained:
    """Weights that were trained elsewhere, and what goes with them.

    Attributes:
        tensors: by the names that the network has for them.
        source: where they are from: a repository and its commit, or a file.
        licence: of the weights, in words.
        mean: of each band as the weights' own preprocessing subtracts it, in units of `dtype`; None where unknown.
        std: the same.
        dtype: of the pictures that mean and std are of: uint8 has them for 0..255.
        assumed: whether mean and std are ImageNet's because nothing states the weights' own.
        in_bgr: whether the weights want pictures in BGR; mean and std are in RGB all the same.
    """

    tensors: Mapping[str, Tensor]
    source: str
    licence: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    dtype: str = "uint8"
    assumed: bool = False
    in_bgr: bool = False


@dataclass(frozen=True)
class Published:
    """Weights that anybody can get.

    Attributes:
        place: a repository, or the name of a file.
        licence: in words.
        here: whether they are on this machine.
    """

    place: str
    licence: str
    here: bool


@dataclass(frozen=True)
class Network:
    """A network, or a family of networks behind one prefix (`smp:...`).

    Attributes:
        build: blueprint -> a module with fresh weights: normalised [B, bands, H, W] in, anything out that
            `heads.heads_of` reads.
        stride: of such a module: what height and width of its input must be divisible by.
        encoder: of such a module: how the names of the parameters begin that belong to its encoder.
        library: the module that its networks are from; a model file says which version wrote it.
        settings: names of the settings in the section `model` that are its own; the others are refused.
        config: the source library's own description of what is named; may read files or ask the hub.
        pretrained: the weights that are published for it, or those of a file in the library's own names; None where
            nothing is published.
        auxiliary: whether the network of this name is trained with an auxiliary head where nobody says.
        published: what is published for a network; None where nothing is.
        names: some of its networks, and all whose names contain a word, where one is given.
        revision: the commit of the hub's repository that the config is of; None where there is none.
    """

    build: Callable[[Blueprint], nn.Module]
    stride: Callable[[nn.Module], int]
    encoder: Callable[[nn.Module], tuple[str, ...]] = lambda network: ()
    library: str | None = None
    settings: tuple[str, ...] = ()
    config: Callable[[ModelSettings], dict[str, Any]] = lambda settings: {}
    pretrained: Callable[[Blueprint, Path | None], Pretrained] | None = None
    auxiliary: Callable[[str], bool] = lambda name: False
    published: Callable[[Blueprint], Published | None] = lambda blueprint: None
    names: Callable[[str], Iterable[str]] = lambda word: ()
    revision: Callable[[ModelSettings], str | None] = lambda settings: None
