"""A model whose answer is known, pictures for it, and readers of what is written."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tifffile
import torch
from PIL import Image
from rasterio.crs import CRS
from torch import Tensor, nn

from intarsia.labels import Labels
from intarsia.loading import Predictor
from intarsia.modelfile import ModelCard
from intarsia.networks.segmenter import Segmenter
from intarsia.options import make_options
from intarsia.pipeline.records import FOLDER
from intarsia.raster.contract import Source
from intarsia.raster.pictures import Decoded
from intarsia.results.plan import Subject
from intarsia.settings import DataSettings, ModelSettings
from tests.small import noise

STEP = 10  # of the first band, from class to class
NODATA = 99
HALF_METRES = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000)
THREE = Labels.of_values([0, 1, 2], names=["background", "field", "wood"])
TWO = Labels.of_values([0, 1], names=["background", "crack"])


class Told(nn.Module):
    """The class of a pixel is its first band by `STEP`, whatever is around it; between two values it is unsure."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("levels", STEP * torch.arange(classes).float().view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return -((x[:, :1] - self.get_buffer("levels")) ** 2) / 20


def predictor(
    labels: Labels = THREE, bands: int = 1, size: tuple[int, int] = (8, 8), dtype: str = "uint8"
) -> Predictor:
    segmenter = Segmenter(Told(len(labels)), 2, [0.0] * bands, [1.0] * bands).eval()
    card = ModelCard(
        ModelSettings(name="unet"), labels, bands, DataSettings(), dtype=dtype, training={"size": size}
    )
    return Predictor(segmenter, card)


def classes(height: int, width: int, count: int = 3, seed: int = 0) -> np.ndarray:
    """[H, W] uint8 of blobs."""
    return noise(height, width, seed=seed) % count


def picture(mask: np.ndarray) -> np.ndarray:
    """[H, W] uint8: what the model sees as this mask; it is not sure everywhere."""
    doubt = np.random.default_rng(5).integers(-4, 5, mask.shape)
    return np.clip(mask.astype(int) * STEP + doubt, 0, 90).astype(np.uint8)


def write_png(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def write_tiff(path: Path, array: np.ndarray, **options: Any) -> Path:
    """A GeoTIFF of half metres in UTM 32; `NODATA` has no data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = array.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": array.dtype}
    place = {"crs": CRS.from_epsg(32632), "transform": HALF_METRES, "nodata": NODATA}
    with rasterio.open(path, "w", **{**profile, **place, **options}) as file:
        file.write(array, 1)
    return path


def read(path: Path) -> np.ndarray:
    """The numbers of a PNG or TIFF as they are stored."""
    if path.suffix == ".tif":
        return np.asarray(tifffile.imread(path))
    with Image.open(path) as file:
        return np.asarray(file)


def subject(array: np.ndarray, out: Path, labels: Labels = THREE, name: str = "a", **options: Any) -> Subject:
    source: Source = Decoded(array, f"{name}.png")
    return Subject(source, predictor(labels).plan(make_options(options)), Path(name), out)


def files(folder: Path) -> set[str]:
    """All files, the hidden ones too, but for the records of what is finished."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if path.parts[0] != FOLDER}
