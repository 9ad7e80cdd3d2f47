"""transformers: `hf:HUB-ID` or `hf:FOLDER`, for the families below. The modules are the library's own.

A repository gives its config and its safetensors, never code: a family that transformers itself does not know is
refused. The config goes into our model file, so that loading that asks nobody.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn

from intarsia import hub
from intarsia.errors import MachineError, ModelFileError, SettingsError, did_you_mean
from intarsia.extras import needed
from intarsia.networks import licences
from intarsia.networks.anygrid import any_grid_dpt, any_grid_eomt
from intarsia.networks.contract import IMAGENET_MEAN, IMAGENET_STD, Blueprint, Network, Pretrained, Published
from intarsia.networks.transfer import read_json, read_tensors
from intarsia.settings import ModelSettings

_CONFIG, _WEIGHTS, _SHARDS, _PREPROCESSING = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "preprocessor_config.json",
)
_OF_NO_USE = ("_name_or_path", "auto_map", "id2label", "label2id", "num_labels", "transformers_version", "dtype")
_NO_EXTRAS = {"use_auxiliary_head": False, "use_pretrained_backbone": False}


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
    "dpt": Family("DPTForSemanticSegmentation", ("dpt.",), adapted=any_grid_dpt),
    "mobilevit": Family("MobileViTForSemanticSegmentation", ("mobilevit.",), in_bgr=True),
    "mobilevitv2": Family("MobileViTV2ForSemanticSegmentation", ("mobilevitv2.",), stride=64, in_bgr=True),
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
    described = read_json(_file(place, _CONFIG, settings.revision))
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
    described |= {"num_labels": blueprint.classes} | _NO_EXTRAS
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
    described = read_json(_file(place, _CONFIG, at))
    if described.get("model_type") != blueprint.config["model_type"]:
        raise ModelFileError(
            f"{place}: the weights belong to another network: its config says {described.get('model_type')!r}, "
            f"that of {blueprint.settings.name} says {blueprint.config['model_type']!r}."
        )
    commit = hub.commit_of(files[0])
    source = str(place) if isinstance(place, Path) or commit is None else f"{place}@{commit[:8]}"
    found = Pretrained(_renamed(files, described, stored), source, licence(place, at, ask=True))
    return _with_preprocessing(found, place, at, FAMILIES[described["model_type"]])


def published(blueprint: Blueprint) -> Published:
    """The repository's weights, or a folder's."""
    place, at = _place(blueprint.settings), blueprint.settings.revision
    if isinstance(place, Path):
        return Published(str(place), licence(place), here=True)
    return Published(place, licence(place, at), hub.cached(place, _WEIGHTS, at) is not None)


def licence(place: str | Path, at: str | None = None, *, ask: bool = False) -> str:
    """The licence as we know it, or as the card of the repository or folder states it.

    Args:
        place: a repository, or a folder.
        at: the commit.
        ask: the hub for the card, where it is not in the cache.
    """
    if isinstance(place, Path):  # its own card first: that it is called as a repository proves little
        return licences.stated_in(place / "README.md") or licences.licence_of(f"nvidia/{place.name}", licences.HUB)
    known = licences.licence_of(place, licences.HUB)
    if known != licences.UNKNOWN:
        return known
    card = hub.fetch_optional(place, "README.md", at) if ask else hub.cached(place, "README.md", at)
    return licences.stated_in(card) or known


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
    index = place / _SHARDS if isinstance(place, Path) else hub.cached(place, _SHARDS, at)
    if index is None or not index.is_file():
        try:
            return [_file(place, _WEIGHTS, at)]
        except SettingsError:
            index = None if isinstance(place, Path) else hub.fetch_optional(place, _SHARDS, at)
    if index is None:
        raise SettingsError(f"{place}: has no {_WEIGHTS}. Only safetensors are loaded; pickles can run code.")
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    return [_file(place, name, at) for name in names]


def _renamed(files: Sequence[Path], described: dict[str, Any], stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of today's transformers, which reads its older files; and those of no use."""
    try:
        with _quietly(), _alone(files) as folder:
            donor, told = _kind(described["model_type"]).from_pretrained(  # type: ignore[attr-defined]
                folder,
                config=_library_config(described | _NO_EXTRAS),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except ImportError as error:
        raise _lacking(error) from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelFileError(
            f"{files[0]}: cannot be loaded by transformers: {str(error).splitlines()[0]}"
        ) from None
    missing = {*told["missing_keys"], *(entry[0] for entry in told["mismatched_keys"])}
    renamed = {name: tensor for name, tensor in donor.state_dict().items() if name not in missing}
    return renamed | {name: stored[name] for name in told["unexpected_keys"] if name in stored}


@contextmanager
def _alone(files: Sequence[Path]) -> Iterator[Path]:
    """A folder in which transformers finds these weights and no others: one file, or shards with their index."""
    if len(files) > 1:
        yield files[0].parent
        return
    with TemporaryDirectory() as folder:
        (Path(folder) / _WEIGHTS).symlink_to(files[0].resolve())
        yield Path(folder)


def _with_preprocessing(found: Pretrained, place: str | Path, at: str | None, family: Family) -> Pretrained:
    """With mean and deviation of preprocessor_config.json in units of 0..255, and whether the weights want BGR."""
    file = place / _PREPROCESSING if isinstance(place, Path) else hub.fetch_optional(place, _PREPROCESSING, at)
    said = read_json(file) if file is not None and file.is_file() else {}
    white = 1 / (said.get("rescale_factor") or 1 / 255) if said.get("do_rescale", True) else 1.0
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (white,) * 3
    if said.get("do_normalize", not family.in_bgr):
        mean = tuple(white * value for value in said.get("image_mean") or IMAGENET_MEAN)
        std = tuple(white * value for value in said.get("image_std") or IMAGENET_STD)
    in_bgr = bool(said.get("do_flip_channel_order", family.in_bgr))
    step = -1 if in_bgr else 1
    return replace(found, mean=mean[::step], std=std[::step], in_bgr=in_bgr, assumed=not said)


def _lacking(error: ImportError) -> MachineError:
    """Transformers says at length which library it lacks."""
    said = " ".join(str(error).split())
    return MachineError(f"{said[:200]} Install what the extra brings: pip install 'intarsia[hf]'")


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
    except ImportError as error:
        raise _lacking(error) from None
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
    library="transformers",
    settings=("revision",),
    config=config,
    pretrained=pretrained,
    published=published,
    names=lambda word: [f"hf:{name}" for name in KNOWN],
    revision=revision,
)
