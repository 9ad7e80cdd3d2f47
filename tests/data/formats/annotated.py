"""Layouts whose masks are drawn from annotations, written from the scenes of `layouts`: road and car as shapes."""

import base64
import json
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from intarsia.data.pairs import Dataset
from intarsia.data.sources import read_source
from tests.data.formats.layouts import HEIGHT, NAMES, WIDTH, save, scene, write

SPLITS = {"train": "abc", "val": "d"}


def boxes(name: str) -> dict[str, tuple[int, int, int, int]]:
    """{class: (left, top, right, bottom)}, the road before the car that stands on it."""
    left = NAMES.index(name) + 1
    return {"road": (0, 2, WIDTH, HEIGHT), "car": (left, 3, left + 3, 5)}


def corners(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def write_json(path: Path, content: Any) -> Path:
    write(path, json.dumps(content))
    return path


def drawn(dataset: Dataset, split: str = "train") -> dict[str, np.ndarray]:
    """{name: its mask}."""
    return {pair.name: read_source(pair.mask, (HEIGHT, WIDTH)) for pair in dataset.splits[split]}


def assert_scenes(dataset: Dataset) -> None:
    """The pairs of `SPLITS`, whose masks are those of the scenes."""
    for split, expected in SPLITS.items():
        masks = drawn(dataset, split)
        assert list(masks) == list(expected)
        for name, mask in zip(expected, masks.values(), strict=True):
            np.testing.assert_array_equal(mask, scene(name)[1])
    assert dataset.labels.names == ("background", "road", "car")
    assert dataset.labels.values == ((0,), (1,), (2,))
    assert dataset.strays == ()


def coco(names: str, folder: str = "") -> dict[str, Any]:
    """What a COCO file says of some scenes; the car first, as it must come out on top all the same."""
    content: dict[str, Any] = {"info": {"year": 2024}, "images": [], "annotations": []}
    content["categories"] = [
        {"id": 7, "name": "road", "supercategory": "ground"},
        {"id": 3, "name": "car", "supercategory": "vehicle"},
    ]
    for number, name in enumerate(names, start=11):
        image = {"id": number, "file_name": f"{folder}{name}.jpg", "height": HEIGHT, "width": WIDTH}
        content["images"].append(image)
        for key, category in (("car", 3), ("road", 7)):
            flat = [float(one) for corner in corners(*boxes(name)[key]) for one in corner]
            entry = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": category}
            content["annotations"].append(entry | {"segmentation": [flat], "iscrowd": 0})
    return content


def write_coco(root: Path) -> None:
    """As COCO 2017 is unpacked, with the files of other tasks beside."""
    for split, names in SPLITS.items():
        for name in names:
            save(root / f"{split}2017/{name}.jpg", scene(name)[0])
        write_json(root / f"annotations/instances_{split}2017.json", coco(names))
        write_json(root / f"annotations/captions_{split}2017.json", {"images": [], "annotations": []})


def write_roboflow(root: Path) -> None:
    for split, names in {"train": "abc", "valid": "d"}.items():
        for name in names:
            save(root / f"{split}/{name}.jpg", scene(name)[0])
        content = coco(names)
        content["categories"].insert(0, {"id": 0, "name": "streets", "supercategory": "none"})
        content["categories"][1:] = [one | {"supercategory": "streets"} for one in content["categories"][1:]]
        write_json(root / f"{split}/_annotations.coco.json", content)
    write(root / "README.roboflow.txt", "streets")


def labelme(name: str, image: str) -> dict[str, Any]:
    """What labelme says of a scene."""
    (left, top, right, bottom), road = boxes(name)["car"], corners(*boxes(name)["road"])
    car = {"label": "car", "points": [[right, top], [left, bottom]], "group_id": None, "shape_type": "rectangle"}
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [{"label": "road", "points": road, "shape_type": "polygon", "flags": {}}, car],
        "imagePath": image,
        "imageData": "aGFyZGx5",
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }


def write_labelme(root: Path) -> None:
    """With labels.txt, each file beside its image, in folders of splits."""
    for split, names in SPLITS.items():
        for name in names:
            save(root / f"{split}/{name}.jpg", scene(name)[0])
            write_json(root / f"{split}/{name}.json", labelme(name, f"{name}.jpg"))
    write(root / "labels.txt", "__ignore__\n_background_\nroad\ncar\n")


def cvat(images: str, labels: str = "") -> str:
    """An annotations.xml."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta><task><labels>'
        f"{labels}</labels></task><dumped>2024</dumped></meta>\n{images}</annotations>\n"
    )


def cvat_label(name: str, color: str = "#804080", kind: str = "any") -> str:
    return f"<label><name>{name}</name><color>{color}</color><type>{kind}</type><attributes></attributes></label>"


def cvat_image(name: str, shapes: str = "", file: str = "", subset: str = "") -> str:
    """The car, then the road below it; or other shapes."""
    left, top, right, bottom = boxes(name)["car"]
    road = ";".join(f"{x:.2f},{y:.2f}" for x, y in corners(*boxes(name)["road"]))
    shapes = shapes or (
        f'<box label="car" xtl="{left}.0" ytl="{top}.0" xbr="{right}.0" ybr="{bottom}.0" z_order="1"></box>'
        f'<polygon label="road" points="{road}" z_order="0"><attribute name="a">b</attribute></polygon>'
    )
    of = f' subset="{subset}"' if subset else ""
    file = file or f"{name}.jpg"
    return f'  <image id="0" name="{file}"{of} width="{WIDTH}" height="{HEIGHT}">{shapes}</image>\n'


def write_cvat(root: Path) -> None:
    """A project with subsets."""
    images = ""
    for subset, names in {"Train": "abc", "Validation": "d"}.items():
        for name in names:
            save(root / f"images/{subset}/{name}.jpg", scene(name)[0])
            images += cvat_image(name, subset=subset)
    labels = cvat_label("road") + cvat_label("car", "#00008e") + cvat_label("weather", kind="tag")
    write(root / "annotations.xml", cvat(images, labels))


def supervisely(*objects: dict[str, Any]) -> dict[str, Any]:
    """What Supervisely says of an image."""
    return {"description": "", "tags": [], "size": {"height": HEIGHT, "width": WIDTH}, "objects": list(objects)}


def supervisely_shape(title: str, kind: str, exterior: Any, interior: Any = ()) -> dict[str, Any]:
    points = {"exterior": exterior, "interior": list(interior)}
    return {"id": 1, "classTitle": title, "geometryType": kind, "points": points, "tags": []}


def supervisely_bitmap(title: str, inside: np.ndarray, origin: Any) -> dict[str, Any]:
    """As its own library packs it: a palette PNG, transparent where it is not."""
    picture = Image.fromarray(inside.astype(np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 255, 255, 255])
    held = BytesIO()
    picture.save(held, format="PNG", transparency=0)
    data = base64.b64encode(zlib.compress(held.getvalue())).decode()
    return {"id": 2, "classTitle": title, "geometryType": "bitmap", "bitmap": {"data": data, "origin": origin}}


def supervisely_scene(name: str) -> dict[str, Any]:
    (left, top, right, bottom), road = boxes(name)["car"], boxes(name)["road"]
    ring = corners(road[0], road[1], road[2] - 1, road[3] - 1)  # pixels, the last one too
    car = supervisely_bitmap("car", np.ones((bottom - top, right - left)), [left, top])
    return supervisely(supervisely_shape("road", "polygon", ring), car)


def write_supervisely(root: Path) -> None:
    classes = [
        {"title": "road", "shape": "polygon", "color": "#804080", "id": 1},
        {"title": "car", "shape": "bitmap", "color": "#00008E", "id": 2},
    ]
    write_json(root / "meta.json", {"classes": classes, "tags": [], "projectType": "images"})
    for split, names in SPLITS.items():
        for name in names:
            save(root / f"{split}/img/{name}.jpg", scene(name)[0])
            write_json(root / f"{split}/ann/{name}.jpg.json", supervisely_scene(name))


def write_nnunet(root: Path) -> None:
    for folder, names in {"Tr": "abc", "Ts": "d"}.items():
        for name in names:
            image, mask = scene(name)
            save(root / f"images{folder}/{name}_0000.png", image)
            save(root / f"labels{folder}/{name}.png", mask)
    labels = {"background": 0, "road": 1, "car": 2, "ignore": 3}
    content = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": labels, "numTraining": 3}
    write_json(root / "dataset.json", content | {"file_ending": ".png"})


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    held = BytesIO()
    Image.fromarray(array).save(held, format=kind)
    return held.getvalue()


def cell(content: bytes | None, path: str | None = None) -> dict[str, Any]:
    """A picture as `datasets` keeps it."""
    return {"bytes": content, "path": path}


def parquet(names: str, image: str = "image", mask: str = "annotation") -> pa.Table:
    """Rows of scenes, with a column that nobody needs between those of pictures."""
    scenes = [scene(name) for name in names]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        image: pa.array([cell(encoded(picture, "JPEG"), "a.jpg") for picture, _ in scenes], kind),
        "number": list(range(len(names))),
        mask: pa.array([cell(encoded(own)) for _, own in scenes], kind),
    }
    return pa.table(columns)


def write_parquet(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def write_huggingface(root: Path) -> None:
    """As `push_to_hub` leaves it, the training split in two files."""
    for name, names in {"train-00000-of-00002": "ab", "train-00001-of-00002": "c", "validation-00000": "d"}.items():
        write_parquet(root / f"data/{name}.parquet", parquet(names))
    write(root / "README.md", "---\ndataset_info: {}\n---\n")
    write_json(root / "id2label.json", {"1": "road", "0": "ground", "2": "car"})


ANNOTATED = {
    "coco 2017": ("coco", write_coco),
    "coco of Roboflow": ("coco", write_roboflow),
    "cvat": ("cvat", write_cvat),
    "supervisely": ("supervisely", write_supervisely),
    "nnunet": ("nnunet", write_nnunet),
    "huggingface": ("huggingface", write_huggingface),
    "labelme": ("labelme", write_labelme),
}
"""{what: (the format that must recognise it, its writer)}"""
