"""Formats of datasets: one file each, and one line in `FORMATS`.

A format says whether a folder or file is its own (a look at names, a few bytes at most) and opens it: splits of
pairs, and whatever it knows of classes. The first that recognises a path opens it; plain folders come last.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from intarsia.data.formats import (
    ade20k,
    camvid,
    cityscapes,
    coco,
    cvat,
    folders,
    huggingface,
    labelme,
    layers,
    nnunet,
    objects,
    pet,
    supervisely,
    table,
    ultralytics,
    voc,
)
from intarsia.data.pairing import forget_entries
from intarsia.data.pairs import Dataset
from intarsia.errors import DataError


@dataclass(frozen=True)
class Format:
    """How a kind of dataset is recognised and opened.

    Attributes:
        looks: what it looks like on the disk, in a line; docs/data.md shows it.
        recognise: whether a folder or file is of this kind.
        open: finds the pairs; raises `DataError` where it cannot.
    """

    looks: str
    recognise: Callable[[Path], bool]
    open: Callable[[Path], Dataset]


FORMATS = {
    "ultralytics": Format(
        "a YAML file with `names`, `train` and `val`, and masks or polygons",
        ultralytics.recognise,
        ultralytics.open_ultralytics,
    ),
    "voc": Format("`JPEGImages/`, `SegmentationClass/`, `ImageSets/Segmentation/`", voc.recognise, voc.open_voc),
    "huggingface": Format(
        "Parquet files with columns of images and masks", huggingface.recognise, huggingface.open_huggingface
    ),
    "coco": Format(
        "a JSON file of `images`, `annotations` and `categories` for each split", coco.recognise, coco.open_coco
    ),
    "nnunet": Format(
        "`dataset.json`, `imagesTr/CASE_0000.png`, `labelsTr/CASE.png`", nnunet.recognise, nnunet.open_nnunet
    ),
    "supervisely": Format(
        "`meta.json`, `DATASET/img/` and `DATASET/ann/`", supervisely.recognise, supervisely.open_supervisely
    ),
    "cvat": Format("CVAT for images 1.1: `annotations.xml` + `images/`", cvat.recognise, cvat.open_cvat),
    "cityscapes": Format(
        "`leftImg8bit/` and `gtFine/` with `labelIds` masks", cityscapes.recognise, cityscapes.open_cityscapes
    ),
    "ade20k": Format("the scene parsing benchmark of ADE20K", ade20k.recognise, ade20k.open_ade20k),
    "camvid": Format("CamVid: the original, Kaggle's, SegNet's", camvid.recognise, camvid.open_camvid),
    "pet": Format("Oxford-IIIT Pet: `images/`, `annotations/trimaps/` and its lists", pet.recognise, pet.open_pet),
    "objects": Format(
        "`ID/images/ID.png` and `ID/masks/*.png`, one for each object", objects.recognise, objects.open_objects
    ),
    "class-folders": Format(
        "`images/NAME.jpg` and `masks/CLASS/NAME.png`", layers.recognise_class_folders, layers.open_class_folders
    ),
    "class-files": Format(
        "`images/NAME.jpg` and `masks/NAME_CLASS.png`", layers.recognise_class_files, layers.open_class_files
    ),
    "csv": Format("a table with columns `image` and `mask`, perhaps `split`", table.recognise, table.open_table),
    "labelme": Format("a JSON file of `shapes` for each image", labelme.recognise, labelme.open_labelme),
    "folders": Format(
        "`images/` + `masks/`, with or without splits; see above", folders.recognise, folders.open_folders
    ),
}


def open_format(path: Path, name: str = "") -> Dataset:
    """Opens a folder or file in the format that recognises it, or in the one that is named.

    Raises:
        DataError: no format recognises it, or it cannot be opened.
    """
    name = name or next((name for name, format in FORMATS.items() if format.recognise(path)), "")
    if not name:
        raise DataError(
            f"{path}: is a file of no known format. A dataset is a folder, a dataset file (.toml), or a file of "
            f"one of these: {', '.join(FORMATS)}."
        )
    dataset = replace(FORMATS[name].open(path), format=name)
    forget_entries()
    return dataset
