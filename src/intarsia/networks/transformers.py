"""transformers: `hf:HUB-ID` or `hf:FOLDER`, for the families below. The modules are the library's own.

A repository gives its config and its safetensors, never code: a family that transformers itself does not know is
refused. The config goes into our model file, so that loading that asks nobody.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from intarsia import hub
from intarsia.errors import ModelFileError, SettingsError, did_you_mean
from intarsia.extras import needed
from intarsia.networks import licences
from intarsia.networks.anygrid import any_grid_dpt, any_grid_eomt
from intarsia.networks.contract import Blueprint, Network, Pretrained, Published
from intarsia.networks.transfer import read_tensors
from intarsia.settings import ModelSettings

_CONFIG, _WEIGHTS, _SHARDS, _PREPROCESSING = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "preprocessor_config.json",
)
_OF_NO_USE = ("_name_or_path", "auto_map", "id2label", "label2id", "num_labels", "transformers_version", "dtype")
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _as_it_is(kind: type[nn.Module]) -> type[nn.Module]:
    return kind


@dataclass(frozen=True)
class Family:
    """Networks of one kind.

    Attributes:
        kind: the library's class.
        encoder: how the names of the encoder's parameters begin.
        stride: what the input must be divisible by, beside the side of a patch.
        in_bgr: whether its weights want pictures in BGR where they do not say.
        adapted: the class, able to take any size.
    """

    kind: str
    encoder: tuple[str, ...]
    stride: int = 32
    in_bgr: bool = False
    adapted: Callable[[type[nn.Module]], type[nn.Module]] = _as_it_is


FAMILIES: dict[str, Family] = {
    "segformer": Family("SegformerForSemanticSegmentation", ("segformer.",)),
    "upernet": Family("UperNetForSemanticSegmentation", ("backbone.",)),
    "beit": Family("BeitForSemanticSegmentation", ("beit.",)),
    "data2vec-vision": Family("Data2VecVisionForSemanticSegmentation", ("data2vec_vision.",)),
    "dpt": Family("DPTForSemanticSegmentation", ("dpt.",), adapted=any_grid_dpt),
    "mobilevit": Family("MobileViTForSemanticSegmentation", ("mobilevit.",), in_bgr=True),
    "mobilevitv2": Family("MobileViTV2ForSemanticSegmentation", ("mobilevitv2.",), in_bgr=True),
    "mobilenet_v2": Family("MobileNetV2ForSemanticSegmentation", ("mobilenet_v2.",)),
    "mask2former": Family("Mask2FormerForUniversalSegmentation", ("model.pixel_level_module.encoder.",)),
    "maskformer": Family("MaskFormerForInstanceSegmentation", ("model.pixel_level_module.encoder.",)),
    "eomt": Family("EomtForUniversalSegmentation", ("embeddings.", "layers."), adapted=any_grid_eomt),
    "eomt_dinov3": Family("EomtDinov3ForUniversalSegmentation", ("embeddings.", "layers."), adapted=any_grid_eomt),
}
KNOWN = (  # some of the hub's repositories of these families; any other of theirs works too
    "nvidia/mit-b0",
    "nvidia/mit-b2",
    "nvidia/segformer-b0-finetuned-ade-512-512",
    "nvidia/segformer-b0-finetuned-cityscapes-1024-1024",
    "nvidia/segformer-b5-finetuned-ade-640-640",
    "openmmlab/upernet-convnext-tiny",
    "openmmlab/upernet-swin-tiny",
    "microsoft/beit-base-finetuned-ade-640-640",
    "Intel/dpt-large-ade",
    "apple/deeplabv3-mobilevit-small",
    "apple/deeplabv3-mobilevit-xx-small",
    "google/deeplabv3_mobilenet_v2_1.0_513",
    "facebook/mask2former-swin-tiny-ade-semantic",
    "facebook/mask2former-swin-tiny-cityscapes-semantic",
    "tue-mps/ade20k_semantic_eomt_large_512",
)


def config(settings: ModelSettings) -> dict[str, Any]:
    """The repository's config.json, without what belongs to its own classes.

    Raises:
        SettingsError: no such repository or folder, or a family that is not known.
        MachineError: not in the cache, and the hub cannot be reached.
    """
    place = _place(settings)
    described = json.loads(_file(place, _CONFIG, settings.revision).read_bytes())
    family = described.get("model_type")
    if family not in FAMILIES:
        raise SettingsError(
            f"Network hf:{place}: its config says {family!r}. {did_you_mean(str(family), FAMILIES)}"
            + (" Code from a repository is never run." if "auto_map" in described else "")
        )
    return {name: value for name, value in described.items() if name not in _OF_NO_USE}


def revision(settings: ModelSettings) -> str | None:
    """The commit that the hub's files are of; None for a folder."""
    place = _place(settings)
    return None if isinstance(place, Path) else hub.commit_of(_file(place, _CONFIG, settings.revision))


def build(blueprint: Blueprint) -> nn.Module:
    """The library's own module, with fresh weights."""
    described = _with_bands(blueprint.config, blueprint.bands)
    described |= {"num_labels": blueprint.classes, "use_auxiliary_head": False, "use_pretrained_backbone": False}
    return _make(blueprint, _library_config(described))


def stride(network: nn.Module) -> int:
    """What height and width must be divisible by: the deepest stage's, and the side of a patch."""
    described: Any = network.config
    patch = getattr(described, "patch_size", 1) or 1
    patch = patch if isinstance(patch, int) else max(patch)
    own = FAMILIES[described.model_type].stride
    return own if own % patch == 0 else patch


def encoder(network: nn.Module) -> tuple[str, ...]:
    """How the names of the encoder's parameters begin."""
    described: Any = network.config
    return FAMILIES[described.model_type].encoder


def pretrained(blueprint: Blueprint, path: Path | None) -> Pretrained:
    """The repository's weights, through transformers' own renaming; or those of a folder or file.

    Raises:
        SettingsError: there are none as safetensors.
        ModelFileError: a file is damaged, or of another network.
        MachineError: not in the cache, and the hub cannot be reached.
    """
    if path is not None and not path.with_name(_CONFIG).is_file():
        return Pretrained(read_tensors(path), str(path), licences.UNKNOWN)
    place = path.parent if path is not None else _place(blueprint.settings)
    at = blueprint.settings.revision
    files = [path] if path is not None else _weight_files(place, at)
    stored = {name: tensor for file in files for name, tensor in read_tensors(file).items()}
    described = json.loads(_file(place, _CONFIG, at).read_bytes())
    tensors = _renamed(blueprint, files[0].parent, described, stored)
    mean, std, in_bgr = _preprocessing(place, at, FAMILIES[described["model_type"]])
    commit = hub.commit_of(files[0])
    source = str(place) if isinstance(place, Path) or commit is None else f"{place}@{commit[:8]}"
    return Pretrained(tensors, source, licence(place, at), mean, std, in_bgr)


def published(blueprint: Blueprint) -> Published:
    """The repository's weights, or a folder's."""
    place, at = _place(blueprint.settings), blueprint.settings.revision
    if isinstance(place, Path):
        return Published(str(place), licence(place), here=True)
    return Published(place, licence(place, at), hub.cached(place, _WEIGHTS, at) is not None)


def licence(place: str | Path, at: str | None = None) -> str:
    """The licence as the repository's card states it, or as we know it."""
    name = str(place)
    known = licences.licence_of(name, licences.HUB)
    card = place / "README.md" if isinstance(place, Path) else hub.cached(name, "README.md", at)
    if known != licences.UNKNOWN or card is None or not card.is_file():
        return known
    stated = re.search(
        r"^license(?:_name)?:\s*(\S+)", card.read_text(encoding="utf-8", errors="replace"), re.MULTILINE
    )
    return stated.group(1) if stated else known


def _place(settings: ModelSettings) -> str | Path:
    """A folder where there is one of this name, else the hub's repository."""
    name = str(settings.name).partition(":")[2]
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
        raise SettingsError(f"Network hf:{name}: is neither a folder here nor the id of a repository (owner/name).")
    return name


def _file(place: str | Path, name: str, at: str | None) -> Path:
    if not isinstance(place, Path):
        return hub.fetch(place, name, at, then="--model hf:FOLDER")
    if not (place / name).is_file():
        raise SettingsError(
            f"{place}: has no {name}. A network of transformers is a folder that save_pretrained wrote."
        )
    return place / name


def _weight_files(place: str | Path, at: str | None) -> list[Path]:
    """The safetensors of a repository: one file, or the shards that its index names."""
    try:
        return [_file(place, _WEIGHTS, at)]
    except SettingsError:
        index = place / _SHARDS if isinstance(place, Path) else hub.fetch_optional(place, _SHARDS, at)
        if index is None or not index.is_file():
            raise SettingsError(
                f"{place}: has no {_WEIGHTS}. Only safetensors are loaded; pickles can run code."
            ) from None
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        return [_file(place, name, at) for name in names]


def _renamed(
    blueprint: Blueprint, folder: Path, described: dict[str, Any], stored: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors under the names of today's transformers, which reads its older files; and those of no use."""
    try:
        with _quietly():
            donor, told = _kind(described["model_type"]).from_pretrained(  # type: ignore[attr-defined]
                folder,
                config=_library_config(described | {"use_auxiliary_head": False, "use_pretrained_backbone": False}),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelFileError(f"{folder}: cannot be loaded by transformers: {str(error).splitlines()[0]}") from None
    missing = {*told["missing_keys"], *(entry[0] for entry in told["mismatched_keys"])}
    renamed = {name: tensor for name, tensor in donor.state_dict().items() if name not in missing}
    return renamed | {name: stored[name] for name in told["unexpected_keys"] if name in stored}


def _preprocessing(
    place: str | Path, at: str | None, family: Family
) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Mean and deviation in units of 0..255, and whether the weights want BGR: of preprocessor_config.json."""
    file = place / _PREPROCESSING if isinstance(place, Path) else hub.fetch_optional(place, _PREPROCESSING, at)
    said = json.loads(file.read_bytes()) if file is not None and file.is_file() else {}
    white = 1 / said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1.0
    if said.get("do_normalize", not family.in_bgr):
        mean = tuple(white * value for value in said.get("image_mean", _IMAGENET_MEAN))
        std = tuple(white * value for value in said.get("image_std", _IMAGENET_STD))
    else:
        mean, std = (0.0,) * 3, (white,) * 3
    in_bgr = bool(said.get("do_flip_channel_order", family.in_bgr))
    return (mean[::-1], std[::-1], True) if in_bgr else (mean, std, False)


def _with_bands(described: Mapping[str, Any], bands: int) -> dict[str, Any]:
    """The config, for another number of bands, wherever it says so."""
    changed = deepcopy(dict(described))
    inner = changed.get("backbone_config")
    (inner if isinstance(inner, dict) else changed)["num_channels"] = bands
    return changed


def _library_config(described: Mapping[str, Any]) -> Any:  # noqa: ANN401 - transformers' PretrainedConfig
    library = needed("transformers", "hf")
    return library.CONFIG_MAPPING[described["model_type"]].from_dict(dict(described))


def _kind(family: str) -> type[nn.Module]:
    kind: type[nn.Module] = getattr(needed("transformers", "hf"), FAMILIES[family].kind)
    return kind


def _make(blueprint: Blueprint, library_config: Any) -> nn.Module:  # noqa: ANN401 - transformers' PretrainedConfig
    family = FAMILIES[library_config.model_type]
    try:
        return family.adapted(_kind(library_config.model_type))(library_config)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingsError(f"Network {blueprint.settings.name}: transformers cannot build it: {reason}") from None


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the library's progress bars and reports: what became of each tensor is told by us."""
    talk = needed("transformers.utils.logging", "hf")
    before, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    try:
        yield
    finally:
        talk.set_verbosity(before)
        if bars:
            talk.enable_progress_bar()


NETWORK = Network(
    build=build,
    stride=stride,
    encoder=encoder,
    settings=("revision",),
    config=config,
    pretrained=pretrained,
    published=published,
    names=lambda word: [f"hf:{name}" for name in KNOWN],
    revision=revision,
)
