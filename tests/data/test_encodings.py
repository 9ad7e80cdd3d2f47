"""One scene set, written in every encoding and layout: the same index masks and the same class table come back."""

import base64
import csv
import json
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from intarsia.checking import check
from intarsia.data.pairs import read_pair
from intarsia.synthetic.scenes import write_scenes

SPLITS = {"train": 5, "val": 3}
HEIGHT, WIDTH = 48, 64
NAMES = ("background", "road", "vehicle", "pedestrian")
COLORS = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))
Scene = tuple[str, str, np.ndarray, np.ndarray]
"""split, name, image [H, W, 3], mask [H, W] of class indices"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    root = write_scenes(tmp_path_factory.mktemp("drawn"), SPLITS, (HEIGHT, WIDTH), seed=3)
    return [
        (path.parent.name, f"{path.parent.name}_{path.stem}", *(np.array(Image.open(one)) for one in (path, mask)))
        for path in sorted((root / "images").rglob("*.png"))
        if (mask := root / "masks" / path.parent.name / path.name)
    ]


def save(path: Path, picture: np.ndarray | Image.Image, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(path, **options)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def folders(
    encode: Callable[[np.ndarray], np.ndarray | Image.Image], suffix: str = ".png", **options: object
) -> Callable:
    """images/SPLIT + masks/SPLIT in an encoding, with the class names in classes.txt."""

    def write_all(root: Path, scenes: list[Scene]) -> Path:
        for split, name, image, mask in scenes:
            save(root / "images" / split / f"{name}.png", image)
            save(root / "masks" / split / f"{name}{suffix}", encode(mask), **options)
        write(root / "classes.txt", "\n".join(NAMES))
        return root

    return write_all


def colored(mask: np.ndarray) -> np.ndarray:
    return np.array(COLORS, dtype=np.uint8)[mask]


def with_list(write_all: Callable) -> Callable:
    """The same with label_colors.txt in place of classes.txt."""

    def write_both(root: Path, scenes: list[Scene]) -> Path:
        write_all(root, scenes)
        (root / "classes.txt").unlink()
        rows = (f"{red} {green} {blue}\t{name}" for (red, green, blue), name in zip(COLORS, NAMES, strict=True))
        write(root / "label_colors.txt", "\n".join(rows))
        return root

    return write_both


def with_palette(mask: np.ndarray) -> Image.Image:
    picture = Image.fromarray(mask).convert("P")
    picture.putpalette([band for color in COLORS for band in color])
    return picture


def declared_colors(root: Path, scenes: list[Scene]) -> Path:
    folders(colored)(root, scenes)
    (root / "classes.txt").unlink()
    lines = [f'{name} = "#{r:02x}{g:02x}{b:02x}"' for (r, g, b), name in zip(COLORS, NAMES, strict=True)]
    write(root / "dataset.toml", "[classes]\n" + "\n".join(lines))
    return root


def a_band_a_class(root: Path, scenes: list[Scene]) -> Path:
    for split, name, image, mask in scenes:
        save(root / "images" / split / f"{name}.png", image)
        bands = np.stack([(mask == index).astype(np.uint8) * 255 for index in range(4)], axis=2)
        (root / "masks" / split).mkdir(parents=True, exist_ok=True)
        path = root / "masks" / split / f"{name}.tif"
        tifffile.imwrite(path, bands, photometric="minisblack", planarconfig="contig")
    write(root / "classes.txt", "\n".join(NAMES))
    return root


def a_folder_a_class(root: Path, scenes: list[Scene]) -> Path:
    """In the order of the list; without it, the folders would stand in alphabetical order."""
    for split, name, image, mask in scenes:
        save(root / "images" / split / f"{name}.png", image)
        for index, folder in enumerate(NAMES[1:], start=1):
            save(root / "masks" / split / folder / f"{name}.png", (mask == index).astype(np.uint8) * 255)
    write(root / "classes.txt", "\n".join(NAMES))
    return root


def ultralytics(root: Path, scenes: list[Scene]) -> Path:
    for split, name, image, mask in scenes:
        save(root / "images" / split / f"{name}.png", image)
        save(root / "semantic" / split / f"{name}.png", mask * 10)
    content = {
        "train": "images/train",
        "val": "images/val",
        "masks_dir": "semantic",
        "names": dict(enumerate(NAMES)),
        "label_mapping": {0: 0, 10: 1, 20: 2, 30: 3},
    }
    write(root / "data.yaml", yaml.safe_dump(content))
    return root / "data.yaml"


def runs(mask: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """(class, row, left, right) of every run of a class other than background along a row."""
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate(([255], line, [255])).astype(int)))
        for left, right in pairwise(edges):
            if line[left]:
                yield int(line[left]), row, int(left), int(right)


def yolo_polygons(root: Path, scenes: list[Scene]) -> Path:
    for split, name, image, mask in scenes:
        save(root / "images" / split / f"{name}.png", image)
        lines = []
        for index, row, left, right in runs(mask):
            corners = (left, row), (right, row), (right, row + 1), (left, row + 1)
            lines.append(" ".join([str(index - 1), *(f"{x / WIDTH:.9f} {y / HEIGHT:.9f}" for x, y in corners)]))
        write(root / "labels" / split / f"{name}.txt", "\n".join(lines))
    content = {"path": ".", "train": "images/train", "val": "images/val", "names": list(NAMES[1:])}
    write(root / "data.yaml", yaml.safe_dump(content))
    return root


def voc(root: Path, scenes: list[Scene]) -> Path:
    """As annotation tools export it: colour masks and a labelmap."""
    for _, name, image, mask in scenes:
        save(root / "JPEGImages" / f"{name}.png", image)
        save(root / "SegmentationClass" / f"{name}.png", colored(mask))
    for split in SPLITS:
        own = [name for of, name, _, _ in scenes if of == split]
        write(root / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join(own))
    rows = (f"{name}:{red},{green},{blue}::" for (red, green, blue), name in zip(COLORS, NAMES, strict=True))
    write(root / "labelmap.txt", "\n".join(["# label:color_rgb:parts:actions", *rows]))
    return root


def coco(root: Path, scenes: list[Scene]) -> Path:
    for split in SPLITS:
        images: list[dict] = []
        annotations: list[dict] = []
        for of, name, image, mask in scenes:
            if of != split:
                continue
            save(root / split / f"{name}.png", image)
            images.append({"id": len(images) + 1, "file_name": f"{name}.png", "height": HEIGHT, "width": WIDTH})
            for index in (1, 2, 3):
                inside = (mask == index).T.ravel()
                counts = np.diff(np.flatnonzero(np.diff(np.concatenate(([2], inside.astype(int), [2])))))
                counts = [*([0] if inside[0] else []), *counts.tolist()]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": len(images),
                        "category_id": index * 10,
                        "iscrowd": 1,
                        "area": int(inside.sum()),
                        "segmentation": {"counts": counts, "size": [HEIGHT, WIDTH]},
                    }
                )
        categories = [{"id": index * 10, "name": NAMES[index]} for index in (1, 2, 3)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        write(root / "annotations" / f"instances_{split}.json", json.dumps(content))
    return root


def labelme(root: Path, scenes: list[Scene]) -> Path:
    for split, name, image, mask in scenes:
        save(root / split / f"{name}.png", image)
        shapes = [
            {
                "label": NAMES[index],
                "shape_type": "polygon",
                "points": [[left, row], [right, row], [right, row + 1], [left, row + 1]],
            }
            for index, row, left, right in runs(mask)
        ]
        content = {"shapes": shapes, "imagePath": f"{name}.png", "imageHeight": HEIGHT, "imageWidth": WIDTH}
        write(root / split / f"{name}.json", json.dumps(content))
    write(root / "labels.txt", "\n".join(["_background_", *NAMES[1:]]))
    return root


def supervisely(root: Path, scenes: list[Scene]) -> Path:
    classes = [{"title": name, "shape": "bitmap", "color": "#00ff00"} for name in NAMES[1:]]
    write(root / "meta.json", json.dumps({"classes": classes, "tags": []}))
    for split, name, image, mask in scenes:
        save(root / split / "img" / f"{name}.png", image)
        objects = []
        for index in (1, 2, 3):
            rows, columns = np.nonzero(mask == index)
            if len(rows):
                piece = (mask == index)[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
                png = BytesIO()
                Image.fromarray(piece).save(png, "PNG")
                data = base64.b64encode(zlib.compress(png.getvalue())).decode()
                bitmap = {"data": data, "origin": [int(columns.min()), int(rows.min())]}
                objects.append({"classTitle": NAMES[index], "geometryType": "bitmap", "bitmap": bitmap})
        content = {"size": {"height": HEIGHT, "width": WIDTH}, "objects": objects}
        write(root / split / "ann" / f"{name}.png.json", json.dumps(content))
    return root


def cvat(root: Path, scenes: list[Scene]) -> Path:
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES[1:])
    parts = [f"<annotations><version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"]
    for number, (split, name, image, mask) in enumerate(scenes):
        save(root / "images" / split / f"{name}.png", image)
        about = f'id="{number}" name="{split}/{name}.png" subset="{split}" width="{WIDTH}" height="{HEIGHT}"'
        parts.append(f"<image {about}>")
        for index in (1, 2, 3):
            inside = (mask == index).ravel()
            counts = np.diff(np.flatnonzero(np.diff(np.concatenate(([2], inside.astype(int), [2])))))
            rle = ", ".join(map(str, [*([0] if inside[0] else []), *counts.tolist()]))
            box = f'left="0" top="0" width="{WIDTH}" height="{HEIGHT}"'
            parts.append(f'<mask label="{NAMES[index]}" rle="{rle}" {box} z_order="0"/>')
        parts.append("</image>")
    write(root / "annotations.xml", "".join([*parts, "</annotations>"]))
    return root


def nnunet(root: Path, scenes: list[Scene]) -> Path:
    """It knows no splits of pictures: all are for training."""
    for _, name, image, mask in scenes:
        save(root / "imagesTr" / f"{name}_0000.png", image)
        save(root / "labelsTr" / f"{name}.png", mask)
    content = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {name: index for index, name in enumerate(NAMES)},
        "numTraining": len(scenes),
        "file_ending": ".png",
    }
    write(root / "dataset.json", json.dumps(content))
    return root


def parquet(root: Path, scenes: list[Scene]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def png(array: np.ndarray) -> bytes:
        buffer = BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        return buffer.getvalue()

    for split, own in (("train", "train"), ("val", "validation")):
        rows = [(name, image, mask) for of, name, image, mask in scenes if of == split]
        columns = {
            "image": [{"bytes": png(image), "path": f"{name}.png"} for name, image, _ in rows],
            "annotation": [{"bytes": png(mask), "path": f"{name}.png"} for name, _, mask in rows],
        }
        (root / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), root / "data" / f"{own}-00000-of-00001.parquet")
    write(root / "classes.txt", "\n".join(NAMES))
    return root


def table(root: Path, scenes: list[Scene]) -> Path:
    folders(lambda mask: mask)(root / "files", scenes)
    with (root / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "mask", "split"])
        for split, name, _, _ in scenes:
            rows.writerow([f"files/images/{split}/{name}.png", f"files/masks/{split}/{name}.png", split])
    write(root / "classes.txt", "\n".join(NAMES))
    return root / "pairs.csv"


def side_by_side(root: Path, scenes: list[Scene]) -> Path:
    for split, name, image, mask in scenes:
        save(root / split / f"{name}.JPG", image, quality=95)
        save(root / split / f"{name}_gt.png", mask)
    write(root / "classes.txt", "\n".join(NAMES))
    return root


def trainannot(root: Path, scenes: list[Scene]) -> Path:
    for split, name, image, mask in scenes:
        save(root / split / f"{name}.png", image)
        save(root / f"{split}annot" / f"{name}.png", mask)
    write(root / "classes.txt", "\n".join(NAMES))
    return root


WRITERS: dict[str, Callable[[Path, list[Scene]], Path]] = {
    "class indices": folders(lambda mask: mask),
    "16 bits": folders(lambda mask: mask.astype(np.uint16)),
    "values from 1": folders(lambda mask: mask + 1),
    "a grey ramp": folders(lambda mask: mask * 85),
    "a grey ramp with the noise of JPEG": folders(lambda mask: mask * 85, ".jpg", quality=96),
    "grey saved as RGB": folders(lambda mask: np.repeat(mask[:, :, None], 3, axis=2)),
    "TIFF": folders(lambda mask: mask, ".tif"),
    "palette": folders(with_palette),
    "palette, colours in a list": with_list(folders(with_palette)),
    "RGB, colours in a list": with_list(folders(colored)),
    "RGBA, colours in a list": with_list(folders(lambda mask: Image.fromarray(colored(mask)).convert("RGBA"))),
    "JPEG of colours, in a list": with_list(folders(colored, ".jpg", quality=98, subsampling=0)),
    "RGB, colours in a dataset file": declared_colors,
    "one band a class": a_band_a_class,
    "one folder a class": a_folder_a_class,
    "side by side": side_by_side,
    "train and trainannot": trainannot,
    "Ultralytics masks": ultralytics,
    "Ultralytics polygons": yolo_polygons,
    "Pascal VOC": voc,
    "COCO": coco,
    "LabelMe": labelme,
    "Supervisely": supervisely,
    "CVAT": cvat,
    "nnU-Net": nnunet,
    "Hugging Face": parquet,
    "a table": table,
}


@pytest.mark.parametrize("encoding", WRITERS)
def test_the_same_masks_and_the_same_classes_come_back(encoding, scenes, tmp_path):
    inspection = check(WRITERS[encoding](tmp_path / "data", scenes))
    assert inspection.ok, inspection.findings
    labels = inspection.refuse_errors()
    pairs = [pair for own in inspection.dataset.splits.values() for pair in own]
    masks = [read_pair(pair, labels)[1].astype(np.uint8) for pair in pairs]
    assert sorted(mask.tobytes() for mask in masks) == sorted(mask.tobytes() for _, _, _, mask in scenes)
    by_name = {name: mask for _, name, _, mask in scenes}
    for pair, mask in zip(pairs, masks, strict=True):
        name = Path(pair.name).name
        assert np.array_equal(mask, by_name.get(name, mask)), name
    table = [(entry["name"], entry["pixels"]) for entry in inspection.to_dict()["classes"]]
    pixels = np.bincount(np.concatenate([mask.ravel() for mask in by_name.values()]), minlength=4)
    assert table == list(zip(NAMES, pixels.tolist(), strict=True))
    if encoding != "nnU-Net":
        assert {split: len(own) for split, own in inspection.dataset.splits.items()} == SPLITS
