"""Everything before the first step of a training: what stays the same, the state at the start, and what is said."""

import hashlib
import json
import math
import random
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from intarsia import draw
from intarsia.checkpoint import State
from intarsia.data.augment import Augment, Transform
from intarsia.data.check.inspection import Inspection, inspect
from intarsia.data.dataset import TrainingPairs
from intarsia.data.index import find_dataset
from intarsia.data.mixing import Mixing
from intarsia.data.pairs import Dataset, Pair
from intarsia.distributed import World
from intarsia.errors import SettingsError
from intarsia.finetuning import begin_with, refuse_unfit
from intarsia.inference import find_device
from intarsia.losses import Loss, make_loss
from intarsia.modelfile import ModelCard, build_segmenter
from intarsia.networks import custom, find_network, make_blueprint
from intarsia.networks.segmenter import Segmenter
from intarsia.optim import make_optimizer
from intarsia.runs import Run
from intarsia.settings import Settings, make_settings, write_toml
from intarsia.sharding import shard, whole_model
from intarsia.terminal import count_on_terminal
from intarsia.weights import class_weights, rare_classes

Given = Settings | Mapping[str, Mapping[str, Any]] | None
"""Settings as the public functions take them."""

_SEEDS_APART = 1_000_003  # of the processes


@dataclass(frozen=True)
class Setup:
    """What stays the same while training.

    Attributes:
        class_weights: [C], of the loss.
        encoder: how the names of the encoder's parameters begin, in the segmenter.
        idle: whether some parameters get no gradient, or may get none.
    """

    world: World
    run: Run
    settings: Settings
    card: ModelCard
    device: torch.device
    pairs: TrainingPairs
    val: tuple[Pair, ...]
    loss: Loss
    class_weights: Tensor
    encoder: tuple[str, ...] = ()
    idle: bool = False

    @property
    def pairs_a_step(self) -> int:
        """Training pairs that all processes together see in an optimizer step."""
        assert self.settings.train.batch is not None
        return self.settings.train.batch * self.settings.optim.accumulate

    @property
    def pixels_in_a_batch(self) -> int:
        """Pixels of the crops in a batch of all processes."""
        train = self.settings.train
        assert train.size is not None
        assert train.batch is not None
        return train.batch * train.size[0] * train.size[1]

    @property
    def total_steps(self) -> int:
        """Steps of the whole training; only where it is not limited by time."""
        limits = self.settings.train
        if limits.steps:
            return limits.steps
        assert limits.epochs is not None
        return math.ceil(limits.epochs * len(self.pairs.pairs) / self.pairs_a_step)

    def judged(self, state: State) -> Segmenter:
        """The weights that are validated and saved as a model; to be called by all processes."""
        judged = state.average if self.settings.train.ema else state.segmenter
        if state.whole is None:
            return judged
        state.whole.load_state_dict(whole_model(judged))
        return state.whole


def as_settings(given: Given, model: str | nn.Module | None) -> Settings:
    """The settings as given, with the name of the network where that is given apart.

    Raises:
        SettingsError: unknown or contradicting settings, or no such network.
    """
    if model is not None and not isinstance(model, str | nn.Module):
        raise SettingsError(
            f"model = {model!r}: is neither the name of a network nor an nn.Module. Give an instance."
        )
    settings = given if isinstance(given, Settings) else make_settings(given or {})
    if isinstance(model, str):
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"name": model})})
    if settings.model.name is not None and not isinstance(model, nn.Module):
        find_network(settings.model.name)
    return settings


def open_for_training(path: Path, settings: Settings) -> Dataset:
    """The dataset there, with what the settings say of ignored values and of the val split."""
    data = settings.data
    return find_dataset(path, ignore=data.ignore, val_share=data.val_share, scene_separator=data.scene_separator)


def look_at(dataset: Dataset) -> Inspection:
    """What the files of train and val hold.

    Raises:
        DataError: what would train wrong, each with its mend.
    """
    seen = inspect(dataset.only("train", "val"), count_on_terminal("checking"))
    seen.refuse_errors()
    return seen


def describe(
    settings: Settings, seen: Inspection, saved: Mapping[str, Any] | None, module: nn.Module | None
) -> ModelCard:
    """What the model file will say; where a run is continued, what its checkpoint says of the network.

    Raises:
        SettingsError: there is no such network, or a setting that it does not have.
        MachineError: its library is not installed, or its config cannot be got.
    """
    card = ModelCard(
        settings.model,
        seen.refuse_errors(),
        seen.bands,
        settings.data,
        dtype=seen.dtype,
        training={"size": settings.train.size},
    )
    if saved is not None:
        return replace(card, config=saved["config"], weights=saved["weights"])
    if module is not None:
        return card
    return replace(card, config=make_blueprint(settings.model, card.bands, len(card.labels)).config)


def set_up(
    world: World,
    run: Run,
    card: ModelCard,
    dataset: Dataset,
    seen: Inspection,
    settings: Settings,
    transform: Transform | None,
) -> Setup:
    """What stays the same while training, but for the network."""
    train = settings.train
    assert train.size is not None
    device = world.own_device(find_device(train.device))
    counts = seen.counts["train"]
    weights = torch.tensor(class_weights(counts, settings.loss.class_weights), dtype=torch.float32, device=device)
    rare = rare_classes(counts)
    pairs = TrainingPairs(
        dataset.split("train"),
        card.labels,
        card.bands,
        transform=transform or Augment(settings.augment, train.size, card.labels.ignore_index, rare),
        size=train.size,
        seed=train.seed,
        cache=bool(settings.data.cache),
        skip=settings.data.on_bad_sample == "skip",
    )
    pairs.mixing = Mixing(settings.augment, rare)
    loss = make_loss(settings.loss, weights, card.labels.ignore_index)
    return Setup(world, run, settings, card, device, pairs, dataset.split("val"), loss, weights)


def begin(
    setup: Setup, seen: Inspection, *, module: nn.Module | None, resume: bool
) -> tuple[Setup, State, tuple[str, ...]]:
    """The state before the first step.

    Args:
        setup: without an encoder.
        seen: what the files hold.
        module: a network of the user's own.
        resume: leave the weights to the checkpoint.

    Returns:
        The setup with its encoder, and with where the weights come from; the state; what to say of the weights.

    Raises:
        SettingsError: the network cannot be built, or does not fit the data or the training size.
        ModelFileError: the pretrained weights are damaged, or of another network.
        MachineError: they cannot be got.
    """
    settings = setup.settings
    _seed(settings.train.seed)
    segmenter = build_segmenter(setup.card, seen.mean, seen.std, module)
    card, told = (setup.card, ()) if resume else begin_with(segmenter, setup.card)
    idle = refuse_unfit(segmenter, card, settings)
    entry = find_network(str(card.model.name)) if module is None else custom(module)
    encoder = tuple(f"network.{start}" for start in entry.encoder(segmenter.network))
    if not encoder and (settings.optim.freeze or settings.optim.freeze_norm or settings.optim.layer_decay != 1):
        raise SettingsError(
            f"optim.freeze, freeze_norm and layer_decay are for an encoder, and {card.model.name} has none that we "
            "know: give your module a child called encoder or backbone."
        )
    setup = replace(setup, card=card, encoder=encoder, idle=idle)
    segmenter = segmenter.to(setup.device).to(memory_format=torch.channels_last)
    average, whole = deepcopy(segmenter).eval(), None
    if settings.train.sync_norm:
        segmenter = _with_synchronised_norm(setup, segmenter)
    if settings.train.sharded:
        _refuse_to_shard(setup)
        whole = deepcopy(average)
        for shared in (segmenter, average):
            shard(shared, "heads")
    state = State(
        segmenter=segmenter,
        average=average,
        whole=whole,
        optimizer=make_optimizer(segmenter, settings.optim, encoder),
        data=_fingerprint(setup),
        scaler=torch.amp.GradScaler(setup.device.type, enabled=settings.train.precision == "fp16"),
        network={"config": dict(card.config), "weights": dict(card.weights)},
    )
    if setup.world.rank:  # all began with the same weights; from here on each has random numbers of its own
        _seed(settings.train.seed + _SEEDS_APART * setup.world.rank)
    return setup, state, told


def _seed(seed: int) -> None:
    """All random numbers that a network or a transform may draw."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that other people's modules draw from


def _with_synchronised_norm(setup: Setup, segmenter: Segmenter) -> Segmenter:
    """BatchNorm over all processes; its tensors keep their names.

    Raises:
        SettingsError: not on a GPU.
    """
    if setup.device.type != "cuda":
        raise SettingsError(
            f"train.sync_norm = true: torch has it for GPUs only, this is {setup.device}. Leave it out; "
            "model.norm=group needs no statistics at all."
        )
    if setup.world.size == 1:
        return segmenter
    converted: Segmenter = nn.SyncBatchNorm.convert_sync_batchnorm(segmenter)  # type: ignore[no-untyped-call]
    return converted


def _refuse_to_shard(setup: Setup) -> None:
    """What cannot go together with weights that are shared among processes.

    Raises:
        SettingsError: with what to change.
    """
    if setup.world.size == 1:
        raise SettingsError("train.sharded = true: needs several processes, which torchrun starts. Leave it out.")
    for name, value in (
        ("optim.freeze", setup.settings.optim.freeze),
        ("train.compile", setup.settings.train.compile),
    ):
        if value:
            raise SettingsError(f"train.sharded and {name} cannot be used together. Leave one of them out.")


def _fingerprint(setup: Setup) -> str:
    """What a continued training must find again: the classes and the names of all pairs."""
    names = [pair.name for pair in (*setup.pairs.pairs, *setup.val)]
    told = json.dumps([setup.card.labels.to_dict(), setup.card.bands, len(setup.val), names])
    return hashlib.sha256(told.encode()).hexdigest()


def introduce(setup: Setup, state: State, dataset: Dataset, seen: Inspection, weights: tuple[str, ...]) -> None:
    """Says what is trained on what, writes the settings and the contact sheet."""
    run, settings = setup.run, setup.settings
    write_toml(settings, run.folder / "settings.toml")
    samples = [setup.pairs[number] for number in range(16)]
    run.picture("augmented", state.step, draw.contact_sheet(samples, setup.card.labels))
    train, val = dataset.split("train"), dataset.split("val")
    drawn = " (drawn from train by name)" if dataset.drawn else ""
    run.say(f"{dataset.root}: {len(train)} pairs to train, {len(val)} to validate{drawn}")
    shares = seen.counts["train"] / seen.counts["train"].sum()
    run.say(
        "classes: "
        + ", ".join(f"{name} {share:.1%}" for name, share in zip(setup.card.labels.names, shares, strict=True))
    )
    if settings.augment.rare_share or settings.augment.copy_paste:
        rare = [setup.card.labels.names[one] for one in rare_classes(seen.counts["train"])]
        run.say(f"rare classes: {', '.join(rare) or 'none, so that augment.rare_share and copy_paste do nothing'}")
    run.say(f"masks: {seen.encoding}")
    for finding in seen.of_severity("warning"):
        run.say(f"warning: {' '.join(seen.below_root(finding.message).split())} ({finding.id})")
    limits = settings.train
    assert limits.size is not None
    run.say(
        f"{_network_in_words(setup, state)}, crops of {limits.size[0]}x{limits.size[1]}, batch {limits.batch}, "
        f"{limits.precision} on {_where(setup)}, for {_length_in_words(setup)}"
    )
    for line in weights:
        run.say(line)
    run.say(f"look at {run.folder / 'augmented.png'} first: are the masks where they should be?")


def _network_in_words(setup: Setup, state: State) -> str:
    """`unet (width 32, depth 4, stem 4): 7,784,523 parameters, learning rate 0.001`."""
    model, optim = setup.settings.model, setup.settings.optim
    shape = [f"{name} {getattr(model, name)}" for name in ("width", "depth", "stem") if getattr(model, name)]
    parameters = sum(parameter.numel() for parameter in state.segmenter.parameters())
    words = f"{model.name}{' (' + ', '.join(shape) + ')' if shape else ''}: {parameters:,} parameters"
    if optim.freeze and setup.encoder:
        words += ", encoder frozen" + ("" if optim.freeze == "always" else f" for {optim.freeze} steps")
    encoder = (
        f" ({optim.encoder_rate:.3g} of it in the encoder)" if optim.encoder_rate != 1 and setup.encoder else ""
    )
    return f"{words}, learning rate {optim.lr:.2g}{encoder}"


def _where(setup: Setup) -> str:
    processes = setup.world.size
    return str(setup.device) if processes == 1 else f"{processes} processes ({setup.device.type})"


def _length_in_words(setup: Setup) -> str:
    limits = setup.settings.train
    if limits.budget:
        return f"{limits.budget / 60:.3g} minutes (--budget, --epochs or --steps change that)"
    return f"{setup.total_steps} steps"
