"""segmentation_models_pytorch: 12 architectures on its own encoders and on those of timm.

`smp:Unet/resnet34`, `smp:FPN/tu-convnext_tiny.fb_in22k`. The modules are the library's own, and so are the names in
their weights: a model file's tensors, without `network.`, load in the library itself.
"""

import inspect
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from intarsia import hub
from intarsia.errors import ModelFileError, SettingsError, did_you_mean, first_line
from intarsia.extras import needed
from intarsia.networks import licences
from intarsia.networks.contract import IMAGENET_MEAN, IMAGENET_STD, Blueprint, Network, Pretrained, Published
from intarsia.networks.transfer import read_json, read_tensors
from intarsia.settings import ModelSettings

_LIBRARY, _EXTRA = "segmentation_models_pytorch", "smp"
_TIMM = "tu-"  # how the library marks an encoder of timm
_STRIDE = 32  # of the deepest encoders; shallower ones only pad more than they need
_WEIGHTS = "model.safetensors"
_OF_VISION_TRANSFORMERS = "DPT"
_OF_ANY_SIZE = {"dynamic_img_size": True, "strict_img_size": False}
_IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def config(settings: ModelSettings) -> dict[str, Any]:
    """{"architecture", "encoder"} as the library spells them.

    Raises:
        SettingsError: there is no such architecture or encoder.
        MachineError: the library is not installed.
    """
    architecture, slash, encoder = str(settings.name).partition(":")[2].partition("/")
    known = {name.lower(): name for name in architectures()}
    if architecture.lower() not in known:
        raise SettingsError(
            f"Network {settings.name!r}: there is no architecture {architecture!r}. "
            f"{did_you_mean(architecture, known.values())}"
        )
    architecture = known[architecture.lower()]
    if not slash:
        raise SettingsError(
            f"Network {settings.name!r}: say on which encoder, for example "
            f"smp:{architecture}/{example_encoder(architecture)}."
        )
    return {"architecture": architecture, "encoder": _encoder_name(str(settings.name), encoder, architecture)}


def architectures() -> list[str]:
    """The names of the architectures, as the library spells them."""
    return [architecture.__name__ for architecture in _library().MODEL_ARCHITECTURES_MAPPING.values()]


@lru_cache(maxsize=1)
def encoders() -> tuple[str, ...]:
    """The names of all encoders: the library's own, then those of timm, with their `tu-`."""
    library = _library()
    return (*library.encoders.encoders, *(_TIMM + name for name in needed("timm", _EXTRA).list_models()))


def example_encoder(architecture: str) -> str:
    """An encoder that this architecture works with."""
    return "tu-vit_small_patch16_224.augreg_in21k" if architecture == _OF_VISION_TRANSFORMERS else "resnet34"


def build(blueprint: Blueprint) -> nn.Module:
    """The library's own module, with fresh weights.

    Raises:
        SettingsError: the library cannot build this architecture on this encoder.
    """
    architecture, encoder = blueprint.config["architecture"], blueprint.config["encoder"]
    extra: dict[str, Any] = {}
    if blueprint.settings.auxiliary:
        extra["aux_params"] = {"classes": blueprint.classes, "dropout": None}
    try:
        with _quietly():
            network: nn.Module = getattr(_library(), architecture)(
                encoder_name=encoder,
                encoder_weights=None,
                in_channels=blueprint.bands,
                classes=blueprint.classes,
                **extra,
                **_any_size(encoder),
            )
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = first_line(error)
        raise SettingsError(
            f"Network smp:{architecture}/{encoder}: segmentation_models_pytorch cannot build it: {reason}. Known "
            f"to work is smp:{architecture}/{example_encoder(architecture)}."
        ) from None
    return network


def _any_size(encoder: str) -> dict[str, bool]:
    """What to say to those of timm's encoders that are tied to one size, unless they are told otherwise."""
    if not encoder.startswith(_TIMM):
        return {}
    try:
        with torch.device("meta"), _quietly():
            kind = type(needed("timm", _EXTRA).create_model(encoder.removeprefix(_TIMM)))
    except RuntimeError:  # made with numbers: none of those that are tied to a size
        return {}
    known = inspect.signature(kind.__init__).parameters
    return {name: value for name, value in _OF_ANY_SIZE.items() if name in known}


def stride(network: nn.Module) -> int:
    """32, or the side of a patch that 32 is no multiple of; PAN pools thrice more, at a sixteenth of the size."""
    if type(network).__name__ == "PAN":
        return 4 * _STRIDE
    own = int(network.get_submodule("encoder").output_stride)  # type: ignore[arg-type]
    return _STRIDE if _STRIDE % own == 0 else own


def pretrained(blueprint: Blueprint, path: Path | None) -> Pretrained:
    """The encoder's published weights, or those of a file: of the encoder alone, or of the whole network.

    Raises:
        SettingsError: none are published.
        ModelFileError: the file is damaged, or of another network.
        MachineError: they are not in the cache, and the hub cannot be reached.
    """
    encoder, architecture = str(blueprint.config["encoder"]), str(blueprint.config["architecture"])
    if path is None:
        found = _of_timm(encoder, None, architecture) if encoder.startswith(_TIMM) else _of_library(encoder)
        return replace(found, tensors={f"encoder.{name}": tensor for name, tensor in found.tensors.items()})
    tensors = read_tensors(path)
    as_here = any("encoder." in name for name in tensors) or all(name.startswith("model.") for name in tensors)
    if encoder.startswith(_TIMM) and not as_here:
        found = _of_timm(encoder, path, architecture)
        tensors = {f"encoder.{name}": tensor for name, tensor in found.tensors.items()}
    else:
        beside = path.with_name("config.json")
        found = _prepared(tensors, read_json(beside) if beside.is_file() else {}, str(path))
    stated = licences.stated_in(path.with_name("README.md")) or licences.UNKNOWN
    return replace(found, tensors=tensors, licence=stated)


def published(blueprint: Blueprint) -> Published | None:
    """The encoder's weights."""
    encoder = str(blueprint.config["encoder"])
    place = repository(encoder)
    return place and Published(place[0], licence(encoder), hub.cached(place[0], _WEIGHTS, place[1]) is not None)


def names(word: str) -> list[str]:
    """Every architecture on an encoder that fits it; with a word, every encoder whose name contains it.

    A word with a slash in it also says the architecture; else it is Unet.
    """
    examples = [f"smp:{one}/{example_encoder(one)}" for one in architectures()]
    if not word:
        return examples
    architecture, _, part = word.removeprefix("smp:").rpartition("/")
    known = {name.lower(): name for name in architectures()}
    chosen = known.get(architecture.lower(), "Unet")
    return examples + [f"smp:{chosen}/{encoder}" for encoder in encoders() if part.lower() in encoder.lower()]


def licence(encoder: str) -> str:
    """Licence of an encoder's published weights."""
    if encoder.startswith(_TIMM):
        stated = getattr(_timm_weights(encoder), "license", None)
        return {"cc-by-nc-4.0": "CC-BY-NC-4.0: non-commercial"}.get(str(stated), stated) or licences.UNKNOWN
    return licences.licence_of(f"{encoder}.{_default_weights(encoder)[0]}", licences.SMP)


def repository(encoder: str) -> tuple[str, str | None] | None:
    """The repository of an encoder's weights, and the commit where it is pinned; None where none are published."""
    if encoder.startswith(_TIMM):
        published = getattr(_timm_weights(encoder), "hf_hub_id", None)
        return (published, None) if published else None
    where = _default_weights(encoder)[1]
    return where["repo_id"], where["revision"]


def _library() -> Any:  # noqa: ANN401 - a module without types
    return needed(_LIBRARY, _EXTRA)


def _encoder_name(name: str, encoder: str, architecture: str) -> str:
    """As the library knows it: its own, or one of timm with `tu-` before it, which may be left out."""
    timm = needed("timm", _EXTRA)
    own = _library().encoders.encoders
    if encoder in own and architecture != _OF_VISION_TRANSFORMERS:
        return encoder
    bare = encoder.removeprefix(_TIMM)
    if timm.is_model(bare.partition(".")[0]) and (
        "." not in bare or bare in timm.list_pretrained(bare.partition(".")[0])
    ):
        return _TIMM + bare
    if timm.is_model(bare.partition(".")[0]):
        tags = [one.partition(".")[2] for one in timm.list_pretrained(bare.partition(".")[0])]
        raise SettingsError(
            f"Network {name!r}: timm has no weights {bare!r}. {did_you_mean(bare.partition('.')[2], tags)}"
        )
    known = [one for one in encoders() if architecture != _OF_VISION_TRANSFORMERS or one.startswith("tu-vit")]
    nearest = did_you_mean(encoder, known)
    if not nearest.startswith("Did"):
        nearest = "`intarsia models WORD` lists encoders."
    raise SettingsError(f"Network {name!r}: there is no encoder {encoder!r} for it. {nearest}")


def _default_weights(encoder: str) -> tuple[str, dict[str, str]]:
    """Name and place of an encoder's published weights: ImageNet's where there are several."""
    published: dict[str, dict[str, str]] = _library().encoders.encoders[encoder]["pretrained_settings"]
    name = "imagenet" if "imagenet" in published else next(iter(published))
    return name, published[name]


def _of_library(encoder: str) -> Pretrained:
    """Weights of the library's own encoders: at a pinned commit, through each encoder's own renaming."""
    _, where = _default_weights(encoder)
    repository, revision = where["repo_id"], where["revision"]
    source = f"{repository}@{revision[:8]}"
    tensors = read_tensors(hub.fetch(repository, _WEIGHTS, revision))
    donor = _library().encoders.get_encoder(encoder, weights=None)
    try:
        donor.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise _of_another_network(source, error) from None
    described = read_json(hub.fetch(repository, "config.json", revision))
    return replace(_prepared(donor.state_dict(), described, source), licence=licence(encoder))


def _prepared(tensors: Mapping[str, Tensor], described: Mapping[str, Any], source: str) -> Pretrained:
    """Weights with the preprocessing that belongs to them; ImageNet's, as in smp's examples, where none is told."""
    scale = 255.0 if max(described.get("input_range", [0, 1])) <= 1 else 1.0
    mean, std = (
        tuple(scale * value for value in described.get(key, default)) for key, default in _IMAGENET.items()
    )
    in_bgr = described.get("input_space", "RGB") == "BGR"
    step = -1 if in_bgr else 1
    assumed = "mean" not in described
    return Pretrained(tensors, source, licences.UNKNOWN, mean[::step], std[::step], assumed=assumed, in_bgr=in_bgr)


def _of_timm(encoder: str, path: Path | None, architecture: str) -> Pretrained:
    """Weights of an encoder of timm, through timm's own renaming: from the hub, or a file as timm names it.

    timm says nothing of tensors that a file lacks, and leaves them random: so two donors are made with other random
    numbers, and what differs between them was not in the file.
    """
    published, source = _timm_weights(encoder), str(path)
    if path is None:
        place = repository(encoder)
        if place is None:
            raise SettingsError(f"{encoder}: timm publishes no weights for it. Say model.pretrained=false.")
        path = hub.fetch(place[0], _WEIGHTS)
        read_tensors(path)  # sound, or an error of ours
        source = f"{place[0]}@{(hub.commit_of(path) or 'main')[:8]}"
    donors = needed(f"{_LIBRARY}.encoders", _EXTRA)
    kind = donors.TimmViTEncoder if architecture == _OF_VISION_TRANSFORMERS else donors.TimmUniversalEncoder
    filled = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]), _quietly():
            torch.manual_seed(seed)
            overlay = {"file": str(path), "custom_load": False}
            try:
                donor = kind(encoder.removeprefix(_TIMM), pretrained=True, pretrained_cfg_overlay=overlay)
            except (KeyError, RuntimeError, ValueError) as error:
                raise _of_another_network(source, error) from None
            filled.append(donor.state_dict())
    tensors = {name: tensor for name, tensor in filled[0].items() if tensor.equal(filled[1][name])}
    mean, std = (tuple(255.0 * value for value in values) for values in (published.mean, published.std))
    return Pretrained(tensors, source, licence(encoder), mean, std)


def _of_another_network(source: str, error: Exception) -> ModelFileError:
    """What a library says of weights that it cannot load, shortened."""
    said = textwrap.shorten(" ".join(str(error).split()), 400, placeholder=" ...")
    return ModelFileError(f"{source}: the weights belong to another network: {said}")


def _timm_weights(encoder: str) -> Any:  # noqa: ANN401 - timm's PretrainedCfg
    return needed("timm", _EXTRA).models.get_pretrained_cfg(encoder.removeprefix(_TIMM), allow_unregistered=True)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the libraries' warnings about names of their own that they deprecate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


NETWORK = Network(
    build=build,
    stride=stride,
    encoder=lambda network: ("encoder.",),
    library=_LIBRARY,
    settings=("auxiliary",),
    config=config,
    pretrained=pretrained,
    published=published,
    names=names,
)
