"""Settings: one frozen, validated schema for Python, TOML files and the command line.

A field that is None is chosen from the data and the machine when training starts (`defaults.resolve`); the
resolved settings are written into the run folder as `settings.toml`, which can be given back with `--config`.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from intarsia.errors import SettingsError, did_you_mean, explained
from intarsia.files import write_whole
from intarsia.quantities import Seconds, Share, Size, always, listed

Precision = Literal["fp32", "bf16", "fp16"]

LENGTHS = ("budget", "epochs", "steps")


class Section(BaseModel):
    """A frozen group of settings that refuses names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class DataSettings(Section):
    """Where pixels come from and what they mean."""

    ignore: Annotated[tuple[Annotated[int, Field(ge=0, le=65535)], ...], BeforeValidator(listed)] = Field(
        (), description="stored mask values that count for nothing (255 always, unless it is a class)"
    )
    val_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="share of the training pairs held out when there is no val split"
    )
    scene_separator: str = Field(
        "", description="when splitting, file names alike up to the first of this text stay together"
    )
    workers: Annotated[int, Field(ge=0, le=256)] | None = Field(
        None, description="processes that load data; 0 = the training process itself"
    )
    cache: bool | None = Field(None, description="keep decoded pairs in memory (None: when they fit in 1/8 of it)")
    timeout: Seconds = Field(
        300.0,
        description="seconds (or 5m) to wait for a worker before the files that it is at are named as hanging",
    )
    on_bad_sample: Literal["error", "skip"] = Field(
        "error",
        description="a training picture that became unreadable: stop, or take the next pair instead, and say so",
    )
    bad_share: Share = Field(0.01, description="largest share of the pairs that may be skipped; one always may")


class AugmentSettings(Section):
    """How training pairs are varied. Geometry is one affine matrix for image and mask."""

    scale: tuple[Annotated[float, Field(gt=0.01, lt=100)], Annotated[float, Field(gt=0.01, lt=100)]] = Field(
        (0.7, 1.4), description="zoom, smallest and largest; drawn log-uniformly"
    )
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(5.0, description="rotation, at most +- degrees")
    shift: Share = Field(0.05, description="shift beyond the picture's edge, at most this share of the crop")
    flip_horizontal: Share = Field(0.5, description="probability of a left-right flip")
    flip_vertical: Share = Field(0.0, description="probability of an up-down flip")
    brightness: Share = Field(0.1, description="added, at most +- this share of white")
    contrast: Annotated[float, Field(ge=0, lt=1)] = Field(0.2, description="multiplied, at most 1 +- this")
    gamma: Annotated[float, Field(ge=0, lt=1)] = Field(0.2, description="exponent, at most 1 +- this")
    saturation: Annotated[float, Field(ge=0, le=1)] = Field(
        0.3, description="distance from grey, at most 1 +- this; only with 3 bands"
    )
    noise: Share = Field(
        0.02, description="standard deviation of noise, at most this share of white; on half of the images"
    )
    blur: Annotated[float, Field(ge=0, le=10)] = Field(
        0.7, description="Gaussian blur, at most this sigma in pixels; on half of the images"
    )
    rare_share: Share = Field(
        0.0, description="share of the crops centred on a pixel of a rare class, where the picture has one"
    )
    mosaic: Share = Field(0.0, description="probability that four pairs meet around a random point")
    cutmix: Share = Field(0.0, description="probability that a rectangle of another pair replaces what is there")
    copy_paste: Share = Field(
        0.0, description="probability that areas of rare classes of another pair are pasted, with their mask"
    )


class ModelSettings(Section):
    """Which network, and its shape."""

    name: str | None = Field(
        None,
        description="compact, unet, smp:ARCHITECTURE/ENCODER, torchvision:NAME, hf:HUB-ID-OR-FOLDER; "
        "`intarsia models` lists them",
    )
    pretrained: bool | str | None = Field(
        None,
        description="true: begin with the weights published for the network; false: with random ones; or a file or "
        "folder with weights, also a run of your own (None: true where there are any)",
    )
    revision: str | None = Field(
        None, description="commit of the hub's repository that config and weights are taken from (None: the newest)"
    )
    auxiliary: bool | None = Field(
        None,
        description="train with auxiliary heads too: unet has one on each stage of its decoder below the last, "
        "torchvision's and smp's networks can have one",
    )
    width: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="channels of the first stage; each stage below has twice as many"
    )
    depth: Annotated[int, Field(ge=1, le=8)] | None = Field(None, description="number of times the size is halved")
    up: Literal["bilinear", "transposed"] | None = Field(None, description="how the decoder doubles the size")
    norm: Literal["batch", "group"] = Field("batch", description="normalisation; group suits batches under 4")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="probability, at the bottleneck")
    stem: Literal[1, 2, 4] | None = Field(
        None, description="the network works at 1/stem of the size; predictions still have the image's size"
    )


class LossSettings(Section):
    """What is minimised."""

    name: str = Field(
        "ce+dice", description="ce, ohem, focal, dice, tversky, lovasz, ce+dice, ce+lovasz, ce+boundary"
    )
    resolution: Literal["image", "network"] | None = Field(
        None, description="where logits meet the target: at the image's size, or where the network gives its answer"
    )
    class_weights: Literal["none", "inverse", "median_frequency", "effective_number"] = Field(
        "effective_number", description="weights of the classes, from the training split's own pixel counts"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of each target spread over all classes; of the cross-entropy in ce, ohem and ce+..."
    )
    dice_weight: Annotated[float, Field(ge=0)] = Field(1.0, description="of Dice in ce+dice; cross-entropy has 1")
    lovasz_weight: Annotated[float, Field(ge=0)] = Field(
        1.0, description="of Lovász-Softmax in ce+lovasz; cross-entropy has 1"
    )
    boundary_weight: Annotated[float, Field(ge=0)] = Field(
        1.0, description="of the boundary loss in ce+boundary; cross-entropy has 1"
    )
    boundary_width: Annotated[int, Field(ge=1, le=64)] = Field(
        2, description="how far apart boundaries may lie and still meet, in pixels of loss.resolution"
    )
    auxiliary_weight: Annotated[float, Field(ge=0)] = Field(
        0.4, description="of the loss of the first auxiliary head, halved for each further one; the main one has 1"
    )
    focal_gamma: Annotated[float, Field(ge=0)] = Field(
        2.0, description="how much focal loss turns from easy pixels"
    )
    tversky_alpha: Share = Field(0.3, description="weight of false positives; false negatives have 1 - this")
    ohem_threshold: Share = Field(0.7, description="ohem learns from pixels whose true class is less probable")
    ohem_share: Annotated[float, Field(gt=0, le=1)] = Field(
        1 / 16, description="ohem learns from at least this share of the pixels, the hardest ones"
    )


class OptimSettings(Section):
    """How the loss is minimised: AdamW, a schedule, clipping."""

    lr: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="highest learning rate")
    encoder_rate: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="learning rate of the encoder, as a share of lr (None: below 1 with a library's weights)",
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="each block of the encoder learns at this share of the rate of the block after it"
    )
    freeze: Annotated[Annotated[int, Field(ge=0)] | Literal["always"], BeforeValidator(always)] = Field(
        0, description="optimizer steps in which the encoder stays as it is; always = throughout"
    )
    freeze_norm: bool = Field(
        False, description="keep the statistics of the encoder's BatchNorm as they were loaded"
    )
    weight_decay: Annotated[float, Field(ge=0, le=1)] = Field(1e-2, description="of matrices and kernels only")
    schedule: Literal["cosine", "poly", "one_cycle", "plateau"] = Field("cosine", description="after the warm-up")
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.03, description="share of the training, rate from 0 to lr"
    )
    clip: Annotated[float, Field(gt=0)] = Field(1.0, description="largest norm of the gradient")
    accumulate: Annotated[int, Field(ge=1, le=4096)] = Field(1, description="batches for each optimizer step")


class TrainSettings(Section):
    """How long, in what portions, on what."""

    budget: Seconds | None = Field(None, description="wall-clock time of the training in seconds, or 10m, 1h30m")
    epochs: Annotated[float, Field(gt=0)] | None = Field(None, description="passes over the training pairs")
    steps: Annotated[int, Field(ge=1)] | None = Field(None, description="optimizer steps")
    size: Size | None = Field(None, description="height, width of the training crops in pixels")
    batch: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        None, description="pairs in a batch; several processes share them"
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="of weights, order and augmentation")
    device: str | None = Field(None, description="cpu, cuda, cuda:1, mps (None: the fastest there is)")
    precision: Precision | None = Field(
        None,
        description="of the training arithmetic (None: bf16 where the hardware has it, else fp16 on CUDA, "
        "else fp32)",
    )
    ema: bool = Field(True, description="average the weights over the last part of the training")
    validations: Annotated[int, Field(ge=1)] = Field(10, description="how often to validate, evenly spread")
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="stop after so many validations in a row without a better score (None: never)"
    )
    checkpoint_every: Annotated[int, Field(ge=1)] | None = Field(
        None, description="optimizer steps between checkpoints (None: by the clock, see below)"
    )
    checkpoint_minutes: Annotated[float, Field(gt=0)] = Field(
        1.0, description="minutes between checkpoints; also at the end of an epoch, and with each validation"
    )
    keep: Annotated[int, Field(ge=2)] = Field(
        2, description="newest checkpoints that are kept; the best model always is"
    )
    on_nonfinite: Literal["stop", "skip", "rollback"] = Field(
        "stop",
        description="a loss or gradient that is no number: stop, leave the step out (at most 10 times), or go back "
        "to the last checkpoint with half the learning rate (at most 3 times)",
    )
    deterministic: bool = Field(
        False, description="only operations that give the same bits each time, where torch has them; slower"
    )
    compile: bool = Field(False, description="torch.compile the network; without a compiler it is trained as it is")
    tensorboard: bool = Field(False, description="curves and pictures for TensorBoard too, in RUN/tensorboard")
    processes: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="how many train together (None: as many as torchrun started); given with --resume: go on with "
        "another number than before",
    )
    sharded: bool = Field(
        False,
        description="processes share weights, gradients and optimizer state (FSDP2), where these do not fit "
        "into one GPU together",
    )
    sync_norm: bool = Field(
        False, description="statistics of BatchNorm over all processes instead of each alone; on GPUs only"
    )


class Settings(Section):
    """All settings of a training."""

    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optim: OptimSettings = OptimSettings()
    train: TrainSettings = TrainSettings()


def make_settings(*layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Settings from layers of {section: {name: value}}; later layers win.

    Raises:
        SettingsError: an unknown section or name, or a value out of range.
    """
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        if not isinstance(layer, Mapping):
            example = "{'train': {'steps': 100}}"
            raise SettingsError(f"Settings {layer!r}: expected is a mapping of sections, such as {example}.")
        for section, values in layer.items():
            if not isinstance(values, Mapping):
                known = [f"{name}.{section}" for name in Settings.model_fields if section in _fields(name)]
                example = known[0] if known else "optim.lr"
                raise SettingsError(f"Setting {section!r}: write it as section.key, for example {example}.")
            if section == "train" and any(name in values for name in LENGTHS):  # replaces an earlier layer's
                for name in LENGTHS:
                    merged.get(section, {}).pop(name, None)
            merged.setdefault(section, {}).update(values)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError("\n".join(dict.fromkeys(map(_explained, error.errors())))) from None
    lengths = [name for name in LENGTHS if getattr(settings.train, name) is not None]
    if len(lengths) > 1:
        raise SettingsError(f"{' and '.join(lengths)}: only one of budget, epochs and steps can be given.")
    low, high = settings.augment.scale
    if low > high:
        raise SettingsError(f"augment.scale = {low}, {high}: the smallest zoom stands first.")
    return settings


def differences(old: Settings, new: Settings) -> dict[str, tuple[object, object]]:
    """{section.key: (old value, new value)} of all settings that differ."""
    return {
        f"{section}.{name}": (before, getattr(getattr(new, section), name))
        for section in Settings.model_fields
        for name, before in vars(getattr(old, section)).items()
        if before != getattr(getattr(new, section), name)
    }


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        SettingsError: the file is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}.") from None


def parse_overrides(overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`section.key=value` texts -> {section: {key: value}}; values are TOML, or plain text where they are not."""
    parsed: dict[str, dict[str, Any]] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and key):
            raise SettingsError(f"{override!r}: a setting is written section.key=value, for example optim.lr=1e-3.")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        if isinstance(value, str) and "," in value and key in ("ignore", "scale"):
            value = [part.strip() for part in value.split(",")]
        parsed.setdefault(section, {})[key] = value
    return parsed


def write_toml(settings: Settings, path: Path) -> None:
    """Writes every setting with its meaning as a comment; None is left out, as TOML has no such value."""
    lines = ["# The settings of this run. Give them back with: intarsia train DATA --config settings.toml"]
    for section_name in Settings.model_fields:
        section: Section = getattr(settings, section_name)
        lines += ["", f"[{section_name}]"]
        for name, field in type(section).model_fields.items():
            value = getattr(section, name)
            text = f"# {name} =" if value is None else f"{name} = {_toml_value(value)}"
            lines.append(f"{text:<32} # {field.description}")
    write_whole(path, ("\n".join(lines) + "\n").encode())


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    return repr(value)


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML escapes DEL too


def _explained(problem: Mapping[str, Any]) -> str:
    place = [str(part) for part in problem["loc"]]
    name = ".".join(place[:2])
    field = _fields(place[0]).get(place[1]) if len(place) > 1 else None
    return explained(
        problem,
        name,
        meaning=field and field.description,
        unknown=f"Setting {name!r} is unknown. {did_you_mean(name, _siblings(place))}",
    )


def _siblings(place: Sequence[str]) -> list[str]:
    if len(place) == 1:
        return list(Settings.model_fields)
    elsewhere = [f"{name}.{place[1]}" for name in Settings.model_fields if place[1] in _fields(name)]
    return elsewhere or [f"{place[0]}.{name}" for name in _fields(place[0])]


def _fields(section: str) -> dict[str, FieldInfo]:
    """The fields of a section by name; none where there is no such section."""
    owner = Settings.model_fields.get(section)
    return getattr(owner.annotation, "model_fields", {}) if owner else {}
