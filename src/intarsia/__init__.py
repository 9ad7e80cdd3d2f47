"""Intarsia: a folder of images and masks -> a segmentation model that can be trusted.

>>> import intarsia
>>> training = intarsia.train("photos", "runs/first", {"train": {"budget": "10m"}})
>>> print(intarsia.evaluate(training.folder, "photos").miou)
>>> mask = intarsia.load("runs/first").predict("new.jpg").mask

Names are imported when they are first used: `import intarsia` alone does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from intarsia._version import __version__
from intarsia.errors import DataError, IntarsiaError, MachineError, ModelFileError, SettingsError

if TYPE_CHECKING:
    from intarsia.checking import check
    from intarsia.conversion import Conversion, convert
    from intarsia.data.adapters import from_albumentations, from_torchvision
    from intarsia.data.check.findings import Finding
    from intarsia.data.check.inspection import Inspection
    from intarsia.data.index import open_dataset
    from intarsia.data.pairs import Dataset, Pair
    from intarsia.data.read import read_image, read_mask
    from intarsia.demonstration import demo
    from intarsia.evaluation import evaluate
    from intarsia.fetching import fetch
    from intarsia.labels import Labels
    from intarsia.loading import Predictor, load
    from intarsia.loggers import Logger, TensorBoard
    from intarsia.metrics import Scores
    from intarsia.networks.compact import Compact
    from intarsia.networks.segmenter import Segmenter
    from intarsia.networks.unet import UNet
    from intarsia.options import PredictOptions
    from intarsia.overview import Model, models
    from intarsia.prediction import Prediction, predict
    from intarsia.raydata import predict_on_ray
    from intarsia.repetition import Repetition, train_folds, train_seeds
    from intarsia.results.result import Result
    from intarsia.settings import Settings, make_settings
    from intarsia.training import Training, train
    from intarsia.tuning import BatchTrial, RateTest, find_batch, find_learning_rate

__all__ = [
    "BatchTrial",
    "Compact",
    "Conversion",
    "DataError",
    "Dataset",
    "Finding",
    "Inspection",
    "IntarsiaError",
    "Labels",
    "Logger",
    "MachineError",
    "Model",
    "ModelFileError",
    "Pair",
    "PredictOptions",
    "Prediction",
    "Predictor",
    "RateTest",
    "Repetition",
    "Result",
    "Scores",
    "Segmenter",
    "Settings",
    "SettingsError",
    "TensorBoard",
    "Training",
    "UNet",
    "__version__",
    "check",
    "convert",
    "demo",
    "evaluate",
    "fetch",
    "find_batch",
    "find_learning_rate",
    "from_albumentations",
    "from_torchvision",
    "load",
    "make_settings",
    "models",
    "open_dataset",
    "predict",
    "predict_on_ray",
    "read_image",
    "read_mask",
    "train",
    "train_folds",
    "train_seeds",
]

_HOME = {
    "BatchTrial": "tuning",
    "Compact": "networks.compact",
    "Conversion": "conversion",
    "Dataset": "data.pairs",
    "Finding": "data.check.findings",
    "Inspection": "data.check.inspection",
    "Labels": "labels",
    "Logger": "loggers",
    "Model": "overview",
    "Pair": "data.pairs",
    "PredictOptions": "options",
    "Prediction": "prediction",
    "Predictor": "loading",
    "RateTest": "tuning",
    "Repetition": "repetition",
    "Result": "results.result",
    "Scores": "metrics",
    "Segmenter": "networks.segmenter",
    "Settings": "settings",
    "TensorBoard": "loggers",
    "Training": "training",
    "UNet": "networks.unet",
    "check": "checking",
    "convert": "conversion",
    "demo": "demonstration",
    "evaluate": "evaluation",
    "fetch": "fetching",
    "find_batch": "tuning",
    "find_learning_rate": "tuning",
    "from_albumentations": "data.adapters",
    "from_torchvision": "data.adapters",
    "load": "loading",
    "make_settings": "settings",
    "models": "overview",
    "open_dataset": "data.index",
    "predict": "prediction",
    "predict_on_ray": "raydata",
    "read_image": "data.read",
    "read_mask": "data.read",
    "train": "training",
    "train_folds": "repetition",
    "train_seeds": "repetition",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _HOME:
        raise AttributeError(f"module 'intarsia' has no attribute {name!r}")
    return getattr(import_module(f"intarsia.{_HOME[name]}"), name)
