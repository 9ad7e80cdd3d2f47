"""Every layout, written from the same tiny scenes: four pictures `a` to `d` of 6x8, masks of the classes 0, 1, 2."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from intarsia.data.pairs import Dataset
from intarsia.data.palettes import PALETTES

HEIGHT, WIDTH = 6, 8
NAMES = "abcd"
COLORS = {"ground": (0, 0, 0), "road": (128, 64, 128), "car": (0, 0, 142)}
VOC_NAMES = {"a": "2007_000032", "b": "2008_000123", "c": "2011_002345", "d": "2007_000039"}


def scene(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Image [6, 8, 3] and mask [6, 8] of classes 0, 1, 2: below a horizon there is road, and on it a car."""
    number = NAMES.index(name)
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[2:] = 1
    mask[3:5, number + 1 : number + 4] = 2
    image = np.stack([mask * 60 + 20 * band + number for band in range(3)], axis=2)
    return image.astype(np.uint8), mask


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def names(dataset: Dataset) -> dict[str, list[str]]:
    """{split: names of its pairs}."""
    return {split: [pair.name for pair in pairs] for split, pairs in dataset.splits.items()}


def strays(dataset: Dataset, root: Path) -> list[tuple[str, list[str]]]:
    """(finding, paths below `root`) of each."""
    return [(one.finding, [path.relative_to(root).as_posix() for path in one.paths]) for one in dataset.strays]


def write_folders(root: Path) -> None:
    for split, names in {"train": "abc", "val": "d"}.items():
        for name in names:
            image, mask = scene(name)
            save(root / f"images/{split}/{name}.jpg", image)
            save(root / f"masks/{split}/{name}.png", mask)


def write_ultralytics(root: Path) -> None:
    write_folders(root)
    write(
        root / "data.yaml", "train: images/train\nval: images/val\nnames: [ground, road, car]\nmasks_dir: masks\n"
    )


def write_polygons(root: Path) -> None:
    """The road and the car as polygons, and no ground among the names."""
    for split, names in {"train": "abc", "val": "d"}.items():
        for name in names:
            image, mask = scene(name)
            save(root / f"images/{split}/{name}.jpg", image)
            left = int(np.flatnonzero((mask == 2).any(axis=0))[0]) / WIDTH
            right = left + 3 / WIDTH
            write(
                root / f"labels/{split}/{name}.txt",
                f"1 {left} 0.5 {right} 0.5 {right} {5 / HEIGHT} {left} {5 / HEIGHT}\n"
                f"0 0 {2 / HEIGHT} 1 {2 / HEIGHT} 1 1 0 1\n",
            )
    write(root / "data.yaml", "train: images/train\nval: images/val\nnames:\n  0: road\n  1: car\n")


def write_voc(root: Path, names: Mapping[str, str] = VOC_NAMES) -> None:
    """As the challenge has it: palette masks, lists, and pictures for other tasks."""
    colors = [band for color in PALETTES["voc"].colors.values() for band in color]
    for name, own in names.items():
        image, mask = scene(name)
        save(root / f"JPEGImages/{own}.jpg", image)
        mask[0, 0] = 255
        palette = Image.fromarray(mask).convert("P")
        palette.putpalette(colors)
        (root / "SegmentationClass").mkdir(exist_ok=True)
        palette.save(root / f"SegmentationClass/{own}.png")
    save(root / "JPEGImages/2012_000001.jpg", scene("a")[0])
    for split, of in {"train": "abc", "val": "d", "trainval": "abcd"}.items():
        write(root / f"ImageSets/Segmentation/{split}.txt", "".join(f"{names[name]}\n" for name in of))


def write_cvat_masks(root: Path) -> None:
    """CVAT's "Segmentation mask" export: colour masks, and a labelmap."""
    for name in NAMES:
        image, mask = scene(name)
        save(root / f"JPEGImages/my {name}.jpg", image)
        save(root / f"SegmentationClass/my {name}.png", np.array(list(COLORS.values()), np.uint8)[mask])
        save(root / f"SegmentationObject/my {name}.png", image)
    lines = [f"{name}:{','.join(map(str, color))}::" for name, color in COLORS.items()]
    write(root / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
    write(root / "ImageSets/Segmentation/default.txt", "".join(f"my {name}\n" for name in NAMES))


SAMPLES = {
    "folders": ("folders", write_folders),
    "ultralytics, masks": ("ultralytics", write_ultralytics),
    "ultralytics, polygons": ("ultralytics", write_polygons),
    "voc": ("voc", write_voc),
    "voc, of CVAT": ("voc", write_cvat_masks),
}
"""{what: (the format that must recognise it, its writer)}"""
