"""Every layout, written from the same tiny scenes: pictures `a` to `d` of 6x8, masks of the classes 0, 1, 2."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from intarsia.data.pairs import Dataset
from intarsia.data.palettes import PALETTES
from intarsia.labels import Color

HEIGHT, WIDTH = 6, 8
NAMES = "abcd"
COLORS = {"ground": (0, 0, 0), "road": (128, 64, 128), "car": (0, 0, 142)}
CAMVID_COLORS = {"Void": (0, 0, 0), "Road": (128, 64, 128), "Car": (64, 0, 128)}
CAMVID_NAMES = {"a": "0001TP_006690", "b": "0006R0_f00930", "c": "0016E5_00390", "d": "Seq05VD_f00000"}
PET_NAMES = {"a": "Abyssinian_1", "b": "beagle_12", "c": "Bengal_3", "d": "pug_45"}
VOC_NAMES = {"a": "2007_000032", "b": "2008_000123", "c": "2011_002345", "d": "2007_000039"}


def scene(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Image [6, 8, 3] and mask [6, 8] of classes 0, 1, 2: below a horizon there is road, and on it a car."""
    number = NAMES.index(name)
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[2:] = 1
    mask[3:5, number + 1 : number + 4] = 2
    image = np.stack([mask * 60 + 20 * band + number for band in range(3)], axis=2)
    return image.astype(np.uint8), mask


def in_colors(mask: np.ndarray, colors: Mapping[str, Color]) -> np.ndarray:
    return np.array(list(colors.values()), dtype=np.uint8)[mask]


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
        save(root / f"SegmentationClass/my {name}.png", in_colors(mask, COLORS))
        save(root / f"SegmentationObject/my {name}.png", image)
    lines = [f"{name}:{','.join(map(str, color))}::" for name, color in COLORS.items()]
    write(root / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
    write(root / "ImageSets/Segmentation/default.txt", "".join(f"my {name}\n" for name in NAMES))


def write_camvid(root: Path) -> None:
    for name, own in CAMVID_NAMES.items():
        image, mask = scene(name)
        save(root / f"701_StillsRaw_full/{own}.png", image)
        save(root / f"LabeledApproved_full/{own}_L.png", in_colors(mask, CAMVID_COLORS))


def write_kaggle(root: Path) -> None:
    for split, of in {"train": "ab", "val": "c", "test": "d"}.items():
        for name in of:
            image, mask = scene(name)
            save(root / f"{split}/{CAMVID_NAMES[name]}.png", image)
            save(root / f"{split}_labels/{CAMVID_NAMES[name]}_L.png", in_colors(mask, CAMVID_COLORS))
    rows = [f"{name},{','.join(map(str, color))}\n" for name, color in CAMVID_COLORS.items()]
    write(root / "class_dict.csv", "name,r,g,b\n" + "".join(rows))


def write_segnet(root: Path) -> None:
    for split, of in {"train": "ab", "val": "c", "test": "d"}.items():
        for name in of:
            image, mask = scene(name)
            save(root / f"{split}/{CAMVID_NAMES[name]}.png", image)
            mask[0] = 11
            save(root / f"{split}annot/{CAMVID_NAMES[name]}.png", mask)


def write_pet(root: Path) -> None:
    """Values 1 (the pet), 2 (around it) and 3 (its border), and what the archive holds beside them."""
    for name, own in PET_NAMES.items():
        image, mask = scene(name)
        save(root / f"images/{own}.jpg", image)
        save(root / f"annotations/trimaps/{own}.png", np.array([2, 3, 1], dtype=np.uint8)[mask])
        write(root / f"annotations/trimaps/._{own}.png")
    write(root / "images/Abyssinian_100.mat")
    for split, of in {"trainval": "abc", "test": "d"}.items():
        write(root / f"annotations/{split}.txt", "".join(f"{PET_NAMES[name]} 1 1 1\n" for name in of))
    write(root / "annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID\nAbyssinian_1 1 1 1\n")


def write_cityscapes(root: Path) -> None:
    """Ids 4 (static: ignored), 7 (road) and 26 (car), and the other pictures that lie beside them."""
    for split, of in {"train": "ab", "val": "c", "test": "d"}.items():
        for name in of:
            image, mask = scene(name)
            city = "berlin" if split == "test" else "ulm"
            save(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", image)
            masks = root / f"gtFine/{split}/{city}"
            save(masks / f"{name}_gtFine_labelIds.png", np.array([4, 7, 26], dtype=np.uint8)[mask])
            save(masks / f"{name}_gtFine_color.png", image)
            save(masks / f"{name}_gtFine_instanceIds.png", mask.astype(np.uint16) * 1000)
            write(masks / f"{name}_gtFine_polygons.json", "{}")


def write_ade20k(root: Path) -> None:
    """Values 0 (ignored), 7 (road) and 21 (car)."""
    for split, (word, of) in {"training": ("train", "abc"), "validation": ("val", "d")}.items():
        for name in of:
            image, mask = scene(name)
            own = f"ADE_{word}_0000000{NAMES.index(name)}"
            save(root / f"images/{split}/{own}.jpg", image)
            save(root / f"annotations/{split}/{own}.png", np.array([0, 7, 21], dtype=np.uint8)[mask])


def write_class_folders(root: Path) -> None:
    for name in NAMES:
        image, mask = scene(name)
        save(root / f"images/{name}.jpg", image)
        save(root / f"masks/road/{name}.png", np.uint8(255) * (mask > 0))
        save(root / f"masks/vehicle/{name}.png", np.uint8(255) * (mask == 2))


def write_class_files(root: Path) -> None:
    for split, of in {"train": "abc", "val": "d"}.items():
        for name in of:
            image, mask = scene(name)
            save(root / f"images/{split}/{name}.jpg", image)
            save(root / f"masks/{split}/{name}_road.png", np.uint8(255) * (mask > 0))
            save(root / f"masks/{split}/{name}_vehicle.png", np.uint8(255) * (mask == 2))


def write_objects(root: Path) -> None:
    """The left and the right half of the car are two objects."""
    for name in NAMES:
        image, mask = scene(name)
        save(root / f"{name}01/images/{name}01.png", image)
        left = np.arange(WIDTH) < WIDTH // 2
        for number, half in enumerate((left, ~left)):
            save(root / f"{name}01/masks/{name}{number}.png", np.uint8(255) * ((mask == 2) & half))


def write_table(root: Path) -> None:
    lines = ["image,mask,split\n"]
    for split, of in {"training": "abc", "val": "d"}.items():
        for name in of:
            image, mask = scene(name)
            save(root / f"photos/{name}.jpg", image)
            save(root / f"drawn/{name}-drawn.png", mask)
            lines.append(f"photos/{name}.jpg,drawn/{name}-drawn.png,{split}\n")
    write(root / "pairs.csv", "".join(lines))


SAMPLES = {
    "folders": ("folders", write_folders),
    "ultralytics, masks": ("ultralytics", write_ultralytics),
    "ultralytics, polygons": ("ultralytics", write_polygons),
    "voc": ("voc", write_voc),
    "camvid, original": ("camvid", write_camvid),
    "camvid, Kaggle's": ("camvid", write_kaggle),
    "camvid, SegNet's": ("camvid", write_segnet),
    "pet": ("pet", write_pet),
    "cityscapes": ("cityscapes", write_cityscapes),
    "ade20k": ("ade20k", write_ade20k),
    "class folders": ("class-folders", write_class_folders),
    "class files": ("class-files", write_class_files),
    "objects": ("objects", write_objects),
    "csv": ("csv", write_table),
    "voc, of CVAT": ("voc", write_cvat_masks),
}
"""{what: (the format that must recognise it, its writer)}"""
