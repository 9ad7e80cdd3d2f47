"""Every output: what it holds, of pictures of any shape and size, with a place on earth and without."""

import csv
import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from pycocotools.coco import COCO
from rasterio.crs import CRS
from rasterio.features import rasterize
from shapely.geometry import box, shape

from intarsia import draw
from intarsia.labels import Labels
from intarsia.loading import Predictor
from intarsia.prediction import predict
from intarsia.raster.geotiff import GeoTiffSource
from intarsia.results.outputs import MAPS, OUTPUTS, all_outputs, is_finished
from tests.results.known import (
    HALF_METRES,
    NODATA,
    THREE,
    classes,
    files,
    picture,
    predictor,
    read,
    write_png,
    write_tiff,
)
from tests.small import noise, small_model

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # in pycocotools
]

EVERYTHING = all_outputs()
TILED = {"tile": 16, "overlap": 4}
SIZES = {"small": (37, 53), "pixel": (1, 1), "row": (1, 200), "column": (200, 1)}
SUFFIXES = {"polygons": ".geojson", "coco": ".json", "areas": ".json", "probabilities": ".tif"}
MASKED_OUT = (slice(3, 20), slice(30, 53))  # of the picture with a place


def without_data(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[MASKED_OUT] = NODATA
    return array


def taken(folder: Path, case: str) -> tuple[Path, np.ndarray]:
    """A picture and its true mask."""
    mask = classes(*SIZES.get(case, (37, 53)))
    if case != "place":
        return write_png(folder / "a.png", picture(mask)), mask
    path = write_tiff(folder / "a.tif", without_data(picture(mask)))
    mask[MASKED_OUT] = 255
    return path, mask


def only(out: Path, output: str) -> Path:
    """The picture of an output, or its only file."""
    found = [path for path in (out / output).iterdir() if output != "instances" or path.suffix != ".csv"]
    assert len(found) == 1, found
    return found[0]


def plain(out: Path) -> dict[str, Any]:
    """All results of one picture, as what they hold."""
    held: dict[str, Any] = {}
    for output in EVERYTHING:
        path = only(out, output)
        text = path.suffix in (".json", ".geojson")
        held[output] = json.loads(path.read_text()) if text else read(path)
    held["table"] = (out / "instances" / "a.csv").read_text()
    for name in ("areas.csv", "areas.json", "coco.json"):
        held[name] = (out / name).read_text()
    return held


CASES = pytest.mark.parametrize("case", [*SIZES, "place"])


@CASES
def test_all_outputs_at_once_leave_these_files_and_no_others(case: str, tmp_path: Path) -> None:
    path, mask = taken(tmp_path, case)
    done = predict(predictor(), path, tmp_path / "out", {"pixel_size": "1m"}, save=EVERYTHING)
    assert (done.written, done.failed) == ((Path("a"),), ())
    raster = ".tif" if case == "place" else ".png"
    drawn = dict.fromkeys(("overlays", "triptychs"), ".png")
    expected = {f"{name}/a{ {**SUFFIXES, **drawn}.get(name, raster) }" for name in EVERYTHING}
    whole = {"instances/a.csv", "areas.csv", "areas.json", "coco.json", "prediction.json"}
    assert files(tmp_path / "out") == expected | whole
    assert np.array_equal(read(only(tmp_path / "out", "masks")), mask)


@CASES
@pytest.mark.parametrize("options", [{}, {"min_area": 30}], ids=str)
def test_tiles_give_what_the_whole_gives(case: str, options: dict[str, Any], tmp_path: Path) -> None:
    path, _ = taken(tmp_path, case)
    held = []
    for name, tiles in (("whole", {}), ("tiled", TILED)):
        predict(predictor(), path, tmp_path / name, {**options, **tiles}, save=EVERYTHING)
        held.append(plain(tmp_path / name))
    whole, tiled = held
    assert whole.keys() == tiled.keys()
    for name, of_whole in whole.items():
        if name in MAPS:
            assert of_whole.shape == tiled[name].shape
            assert np.abs(of_whole.astype(int) - tiled[name]).max() <= 1, name
        else:
            assert np.array_equal(of_whole, tiled[name]), name


def test_a_mask_lies_where_the_picture_does(tmp_path: Path) -> None:
    path, mask = taken(tmp_path, "place")
    predict(predictor(), path, tmp_path / "out", save=EVERYTHING)
    with rasterio.open(path) as source:
        for name in ("masks", "probabilities", "confidence", "entropy", "instances"):
            with rasterio.open(tmp_path / "out" / name / "a.tif") as made:
                assert (made.crs, made.transform, made.shape) == (source.crs, source.transform, source.shape)
                assert made.nodata == (255 if name == "masks" else None)
    with rasterio.open(tmp_path / "out/masks/a.tif") as made:
        assert np.array_equal(made.read(1), mask)
        assert np.array_equal(made.dataset_mask() == 0, mask == 255)
        assert [made.colormap(1)[index][:3] for index in range(3)] == list(THREE.colors)


def test_what_has_no_data_is_nothing_in_any_output(tmp_path: Path) -> None:
    path, mask = taken(tmp_path, "place")
    out = tmp_path / "out"
    predict(predictor(), path, out, {"classes": ["background", "field", "wood"]}, save=EVERYTHING)
    for name in ("probabilities", "confidence", "entropy", "instances"):
        assert not read(out / name / "a.tif")[mask == 255].any(), name
        if name != "entropy":
            assert read(out / name / "a.tif")[mask != 255].any(axis=-1).all(), name
    told = json.loads((out / "areas/a.json").read_text())
    assert told["ignored_pixels"] == 17 * 23
    assert sum(row["pixels"] for row in told["classes"]) == 37 * 53 - 17 * 23
    assert sum(row["share"] for row in told["classes"]) == pytest.approx(1)
    drawn = read(out / "overlays/a.png")[mask == 255]
    assert np.array_equal(drawn, np.full_like(drawn, NODATA)), "as the picture is"


def test_what_has_no_data_needs_no_place(tmp_path: Path) -> None:
    mask = classes(37, 53)
    plain = {"crs": None, "transform": rasterio.Affine.identity()}
    path = write_tiff(tmp_path / "a.tif", without_data(picture(mask)), **plain)
    predict(predictor(), path, tmp_path / "out", save=["masks", "confidence"])
    mask[MASKED_OUT] = 255
    assert np.array_equal(read(tmp_path / "out/masks/a.png"), mask)
    assert np.array_equal(read(tmp_path / "out/confidence/a.png") == 0, mask == 255)


@pytest.mark.parametrize("options", [{}, TILED], ids=["whole", "tiled"])
@pytest.mark.parametrize("case", ["small", "row", "place"])
def test_probabilities_are_those_of_the_result(case: str, options: dict[str, Any], tmp_path: Path) -> None:
    path, mask = taken(tmp_path, case)
    expected = predictor().predict(path, options).probabilities.transpose(1, 2, 0).copy()
    expected[mask == 255] = 0
    for floats in (False, True):
        out = tmp_path / f"{floats}"
        predict(predictor(), path, out, {**options, "float_probabilities": floats}, save=["probabilities"])
        made = read(out / "probabilities/a.tif").reshape(*mask.shape, 3)
        assert made.dtype == (np.float32 if floats else np.uint8)
        if floats:
            assert made == pytest.approx(expected, abs=1e-6)
        else:
            assert np.abs(made - expected * 255).max() <= 0.501
        with rasterio.open(out / "probabilities/a.tif") as file:
            assert file.count == 3


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_probabilities_have_a_band_for_each_class(count: int, tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", picture(classes(12, 17, count)))
    labels = Labels.of_values(range(count))
    predict(predictor(labels), path, tmp_path / "out", save=["probabilities", "masks"])
    with rasterio.open(tmp_path / "out/probabilities/a.tif") as file:
        bands = file.read()
        assert file.colorinterp[-1].name != "alpha"
    assert bands.shape == (count, 12, 17)
    assert np.array_equal(bands.argmax(axis=0), read(tmp_path / "out/masks/a.png"))


def test_confidence_and_entropy_by_hand(tmp_path: Path) -> None:
    """Three classes at 0, 10, 20: a 10 is sure by e^5, a 5 is between two."""
    path = write_png(tmp_path / "a.png", np.array([[10, 5, 0]], np.uint8))
    predict(predictor(), path, tmp_path / "out", save=["confidence", "entropy"])
    chances = []
    for value in (10, 5, 0):
        powers = [math.exp(-((value - level) ** 2) / 20) for level in (0, 10, 20)]
        chances.append([power / sum(powers) for power in powers])
    confidence = [max(of_one) for of_one in chances]
    entropy = [-sum(p * math.log(p) for p in of_one) / math.log(3) for of_one in chances]
    for name, values in (("confidence", confidence), ("entropy", entropy)):
        made = read(tmp_path / f"out/{name}/a.png")
        assert (made.dtype, made.shape) == (np.uint8, (1, 3))
        assert made[0].tolist() == [round(255 * value) for value in values]


def test_large_pictures_are_tiffs_and_overlays_a_fraction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, mask = taken(tmp_path, "small")
    monkeypatch.setattr("intarsia.results.plan.MOST_PIXELS", 1000)
    monkeypatch.setattr("intarsia.results.outputs._MOST_DRAWN", 300)
    save = ["masks", "confidence", "entropy", "overlays", "triptychs", "instances"]
    for name, options in (("whole", {}), ("tiled", TILED)):
        out = tmp_path / name
        predict(predictor(), path, out, options, save=save)
        for output in ("masks", "confidence", "entropy", "instances"):
            assert read(out / output / "a.tif").shape == mask.shape
        assert np.array_equal(read(out / "masks/a.tif"), mask)
        with rasterio.open(out / "masks/a.tif") as file:
            assert (file.crs, file.nodata) == (None, None)
        step = 3  # the least with 37 * 53 / step² <= 300
        small = picture(mask)[::step, ::step, None], mask[::step, ::step]
        assert np.array_equal(read(out / "overlays/a.png"), draw.overlay(*small, THREE))
        assert np.array_equal(read(out / "triptychs/a.png"), draw.triptych(*small, THREE))


def test_instances_of_too_large_a_picture_are_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = taken(tmp_path, "small")
    monkeypatch.setattr("intarsia.results.outputs.MOST_PIXELS", 1000)
    done = predict(predictor(), path, tmp_path / "out", save=["masks", "confidence", "instances"])
    assert [where for where, _ in done.failed] == [path]
    assert "a.png: instances of 37x53 pixels: at most 1,000 are numbered" in done.failed[0][1]
    assert files(tmp_path / "out") == {"prediction.json"}


def features(out: Path) -> list[dict[str, Any]]:
    """Of the only file of polygons."""
    found: list[dict[str, Any]] = json.loads(only(out, "polygons").read_text())["features"]
    return found


def burnt(out: Path, size: tuple[int, int], transform: rasterio.Affine | None = None) -> np.ndarray:
    """The polygons as a mask again: class index + 1."""
    drawn = [(one["geometry"], one["properties"]["class_index"] + 1) for one in features(out)]
    if not drawn:
        return np.zeros(size, np.uint8)
    return np.asarray(rasterize(drawn, size, transform=transform or rasterio.Affine.identity(), dtype=np.uint8))


@pytest.mark.parametrize("options", [{}, TILED], ids=["whole", "tiled"])
@pytest.mark.parametrize("chosen", [(), ("wood",), ("background", "field", "wood")], ids="-".join)
@CASES
def test_polygons_become_the_mask_again(
    case: str, chosen: tuple[str, ...], options: dict[str, Any], tmp_path: Path
) -> None:
    path, mask = taken(tmp_path, case)
    predict(predictor(), path, tmp_path / "out", {**options, "classes": chosen}, save=["polygons"])
    of_these = [THREE.names.index(name) for name in chosen] or [1, 2]
    expected = np.where(np.isin(mask, of_these), mask + 1, 0)
    place = HALF_METRES if case == "place" else None
    assert np.array_equal(burnt(tmp_path / "out", mask.shape, place), expected)
    assert sum(one["properties"]["pixels"] for one in features(tmp_path / "out")) == (expected > 0).sum()


def test_polygons_name_the_system_of_their_coordinates(tmp_path: Path) -> None:
    path, _ = taken(tmp_path, "place")
    predict(predictor(), path, tmp_path / "out", save=["polygons"])
    told = json.loads(only(tmp_path / "out", "polygons").read_text())
    assert told["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32632"
    assert {one["properties"]["unit"] for one in told["features"]} == {"m²"}


PLACES = {
    "degrees": (4326, rasterio.Affine(0.01, 0, 11.0, 0, -0.01, 60.0)),
    "web map": (3857, rasterio.Affine(5, 0, 1_200_000, 0, -5, 8_000_000)),
    "turned": (32632, rasterio.Affine(0.4, 0.3, 500_000, 0.3, -0.4, 5_300_000)),
    "south up": (32632, rasterio.Affine(0.5, 0, 500_000, 0, 0.5, 5_300_000)),
}


@pytest.mark.parametrize("options", [{}, TILED], ids=["whole", "tiled"])
@pytest.mark.parametrize("place", PLACES)
def test_places_of_every_kind(place: str, options: dict[str, Any], tmp_path: Path) -> None:
    code, transform = PLACES[place]
    mask = classes(37, 53)
    path = write_tiff(tmp_path / "a.tif", picture(mask), crs=CRS.from_epsg(code), transform=transform)
    out = tmp_path / "out"
    predict(predictor(), path, out, options, save=["masks", "polygons", "areas"])
    with rasterio.open(out / "masks/a.tif") as made:
        assert (made.crs.to_epsg(), made.transform) == (code, transform)
    assert np.array_equal(burnt(out, mask.shape, transform), np.where(mask, mask + 1, 0))
    told = json.loads(only(out, "polygons").read_text())
    assert ("crs" in told) == (code != 4326)
    with closing(GeoTiffSource(path)) as source:
        assert source.scale is not None
        of_rows = source.scale.areas(0, 37)
    measured = json.loads((out / "areas/a.json").read_text())["classes"]
    for index, row in enumerate(measured):
        assert row["area"] == pytest.approx(((mask == index).sum(axis=1) * of_rows).sum(), rel=1e-11)
    of_objects = sum(one["properties"]["area"] for one in told["features"])
    assert of_objects == pytest.approx(measured[1]["area"] + measured[2]["area"], rel=1e-9)


def test_tolerance_makes_fewer_points(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:80, :80]
    disc = ((rows - 40) ** 2 + (columns - 40) ** 2 < 900).astype(np.uint8)
    path = write_png(tmp_path / "a.png", picture(disc))
    points = []
    for tolerance in (0, 1.5):
        out = tmp_path / str(tolerance)
        predict(predictor(), path, out, {"tolerance": tolerance}, save=["polygons", "coco"])
        (one,) = features(out)
        points.append(len(one["geometry"]["coordinates"][0]))
        assert one["properties"]["pixels"] == disc.sum()
        assert shape(one["geometry"]).symmetric_difference(box(0, 0, 80, 80)).area == pytest.approx(
            6400 - disc.sum(), abs=200 * tolerance
        )
        (annotation,) = json.loads((out / "coco.json").read_text())["annotations"]
        assert len(annotation["segmentation"][0]) == 2 * points[-1] - 2
    assert points[1] < points[0] / 3


PLANTED = {"along the pixels": box(10, 7, 50, 32), "between them": box(10.3, 7.2, 10.3 + 31.62, 7.2 + 31.627)}


@pytest.mark.parametrize("options", [{}, TILED], ids=["whole", "tiled"])
@pytest.mark.parametrize("planted", PLANTED)
def test_a_field_of_1000_square_metres_measures_1000(planted: str, options: dict[str, Any], tmp_path: Path) -> None:
    """In pixels of half a metre; a field between the pixels may be off by one row of them."""
    metres = rasterio.Affine(0.5, 0, 0, 0, 0.5, 0)
    mask = rasterize([(PLANTED[planted], 1)], (100, 130), transform=metres, dtype=np.uint8)
    path = write_tiff(tmp_path / "a.tif", picture(mask))
    out = tmp_path / "out"
    predict(predictor(), path, out, options, save=["areas", "polygons", "instances"])
    row = 0 if planted == "along the pixels" else 64 * 0.25
    with (out / "areas.csv").open() as file:
        rows = {line["class"]: line for line in csv.DictReader(file) if line["picture"] == "a"}
    assert float(rows["field"]["area"]) == pytest.approx(1000, abs=row)
    assert float(rows["field"]["area"]) == mask.sum() / 4
    assert (rows["field"]["area_unit"], rows["field"]["objects"]) == ("m²", "1")
    assert float(rows["wood"]["area"]) == 0
    total = sum(float(line["area"]) for line in rows.values())
    assert total == 100 * 130 / 4
    (one,) = features(out)
    assert one["properties"]["area"] == mask.sum() / 4 == shape(one["geometry"]).area
    with (out / "instances/a.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert float(line["area (m²)"]) == mask.sum() / 4
    result = predictor().predict(path, options)
    assert result.areas().areas.tolist() == [float(rows[name]["area"]) for name in THREE.names]


def test_a_given_pixel_size_goes_before_the_files_own(tmp_path: Path) -> None:
    path, mask = taken(tmp_path, "place")
    predict(predictor(), path, tmp_path / "out", {"pixel_size": "2cm,3cm"}, save=["areas", "polygons"])
    rows = json.loads((tmp_path / "out/areas/a.json").read_text())["classes"]
    assert [row["area"] for row in rows] == pytest.approx([(mask == index).sum() * 6 for index in range(3)])
    assert (
        {row["area_unit"] for row in rows}
        == {"cm²"}
        == {f["properties"]["unit"] for f in features(tmp_path / "out")}
    )


@pytest.mark.parametrize("options", [{}, TILED], ids=["whole", "tiled"])
def test_coco_is_read_by_pycocotools(options: dict[str, Any], tmp_path: Path) -> None:
    masks = {f"day/{number}": classes(40, 50, seed=number) for number in range(3)}
    masks["day/2"][10:30, 10:40] = 1
    masks["day/2"][14:20, 14:30] = 2  # a hole
    for name, mask in masks.items():
        write_png(tmp_path / "in" / f"{name}.png", picture(mask))
    predict(predictor(), tmp_path / "in", tmp_path / "out", options, save=["coco"])
    made = COCO(tmp_path / "out" / "coco.json")
    assert [image["file_name"] for image in made.loadImgs(made.getImgIds())] == [f"{name}.png" for name in masks]
    assert [kind["name"] for kind in made.loadCats(made.getCatIds())] == list(THREE.names)
    for image, mask in zip(made.getImgIds(), masks.values(), strict=True):
        back = np.zeros_like(mask)
        for annotation in made.loadAnns(made.getAnnIds(imgIds=image)):
            pixels = made.annToMask(annotation) > 0
            assert not back[pixels].any()
            assert pixels.sum() == annotation["area"]
            back[pixels] = annotation["category_id"] - 1
        assert np.array_equal(back, mask)


def discs(*centres: tuple[int, int], size: tuple[int, int] = (80, 120), radius: int = 12) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = [(rows - y) ** 2 + (columns - x) ** 2 <= radius**2 for y, x in centres]
    return np.any(inside, axis=0).astype(np.uint8)


@pytest.mark.parametrize(("touching", "count"), [(False, 2), (True, 4)])
@pytest.mark.parametrize("options", [{}, TILED], ids=["whole", "tiled"])
def test_touching_discs_are_counted(touching: bool, count: int, options: dict[str, Any], tmp_path: Path) -> None:
    mask = discs((20, 20), (20, 42), (20, 64), (60, 90))
    path = write_png(tmp_path / "a.png", picture(mask))
    done = {**options, "touching": touching, "classes": ["field", "field"], "pixel_size": "2mm"}
    predict(predictor(), path, tmp_path / "out", done, save=["instances"])
    ids = read(tmp_path / "out/instances/a.png")
    assert (ids.dtype, ids.shape) == (np.uint16, mask.shape)
    assert np.unique(ids).tolist() == list(range(count + 1))
    assert np.array_equal(ids > 0, mask > 0)
    with (tmp_path / "out/instances/a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == list(range(1, count + 1))
    for row in rows:
        ys, xs = np.nonzero(ids == int(row["id"]))
        assert (row["class"], int(row["pixels"]), float(row["area (mm²)"])) == ("field", len(ys), 4 * len(ys))
        assert (float(row["y"]), float(row["x"])) == pytest.approx((ys.mean() + 0.5, xs.mean() + 0.5), abs=0.006)
        edges = [int(row[name]) for name in ("top", "left", "bottom", "right")]
        assert edges == [ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]
        assert float(row["diameter"]) == pytest.approx(math.sqrt(4 * len(ys) / math.pi), abs=0.006)


def test_without_a_scale_the_table_has_no_areas(tmp_path: Path) -> None:
    path, _ = taken(tmp_path, "small")
    predict(predictor(), path, tmp_path / "out", save=["instances", "areas", "polygons"])
    with (tmp_path / "out/instances/a.csv").open() as file:
        assert not any(name.startswith("area") for row in csv.DictReader(file) for name in row)
    assert {row["area"] for row in json.loads((tmp_path / "out/areas/a.json").read_text())["classes"]} == {None}
    assert not any("area" in one["properties"] for one in features(tmp_path / "out"))


@pytest.mark.parametrize(("side", "suffix", "dtype"), [(510, ".png", np.uint16), (514, ".tif", np.uint32)])
def test_more_objects_than_16_bits_number(side: int, suffix: str, dtype: type, tmp_path: Path) -> None:
    """One pixel in four: 255² = 65,025 objects, and 257² = 66,049."""
    mask = np.zeros((side, side), np.uint8)
    mask[::2, ::2] = 1
    path = write_png(tmp_path / "a.png", picture(mask))
    predict(predictor(), path, tmp_path / "out", save=["instances"])
    ids = read(tmp_path / f"out/instances/a{suffix}")
    count = (side // 2) ** 2
    assert ids.dtype == dtype
    assert np.array_equal(ids[::2, ::2].ravel(), np.arange(1, count + 1))
    assert (ids > 0).sum() == count == len((tmp_path / "out/instances/a.csv").read_text().splitlines()) - 1


def test_a_picture_without_objects(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", np.zeros((9, 11), np.uint8))
    for touching in (False, True):
        out = tmp_path / str(touching)
        predict(predictor(), path, out, {"touching": touching}, save=EVERYTHING)
        assert not read(out / "instances/a.png").any()
        assert (out / "instances/a.csv").read_text().startswith("id,class,pixels,x,y,top,")
        assert len((out / "instances/a.csv").read_text().splitlines()) == 1
        assert features(out) == json.loads((out / "coco.json").read_text())["annotations"] == []


def test_more_than_255_classes_with_a_place(tmp_path: Path) -> None:
    labels = Labels.of_values(range(300))
    truth = np.arange(0, 600, dtype=np.uint16).reshape(20, 30) % 300
    path = write_tiff(tmp_path / "a.tif", truth * 10, nodata=50)
    predict(predictor(labels, dtype="uint16"), path, tmp_path / "out", save=["masks", "areas", "overlays"])
    with rasterio.open(tmp_path / "out/masks/a.tif") as made:
        assert (made.nodata, made.dtypes) == (65535, ("uint16",))
        assert np.array_equal(made.read(1), np.where(truth == 5, 65535, truth))
    assert json.loads((tmp_path / "out/areas/a.json").read_text())["ignored_pixels"] == 2


@pytest.mark.parametrize("nodata", [math.nan, -9999.0])
def test_what_has_no_data_does_not_darken_the_overlay(nodata: float, tmp_path: Path) -> None:
    mask = classes(37, 53)
    values = picture(mask).astype(np.float32)
    holed = values.copy()
    holed[:9] = nodata
    shown = []
    for name, array in (("full", values), ("holed", holed)):
        path = write_tiff(tmp_path / f"{name}.tif", array, nodata=nodata)
        predict(predictor(dtype="float32"), path, tmp_path / name, save=["overlays", "masks"])
        assert np.array_equal(read(tmp_path / name / f"masks/{name}.tif")[9:], mask[9:])
        shown.append(read(tmp_path / name / f"overlays/{name}.png")[9:].astype(int))
    assert np.abs(shown[0] - shown[1]).max() <= 12


def test_a_real_network_writes_everything_of_a_picture_of_any_bands(tmp_path: Path) -> None:
    own = Predictor(*small_model(bands=4))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.moveaxis(noise(30, 40, 4), -1, 0), photometric="minisblack", planarconfig="separate")
    done = predict(own, path, tmp_path / "out", save=EVERYTHING)
    assert done.failed == ()
    assert np.array_equal(read(tmp_path / "out/masks/a.png"), own.predict(noise(30, 40, 4)).mask)


@pytest.mark.parametrize("output", EVERYTHING)
def test_each_output_alone_is_what_it_is_among_all(output: str, tmp_path: Path) -> None:
    path, _ = taken(tmp_path, "small")
    predict(predictor(), path, tmp_path / "all", save=EVERYTHING)
    predict(predictor(), path, tmp_path / "one", save=[output])
    alone = {name for name in files(tmp_path / "one") if name != "prediction.json"}
    assert alone
    for name in alone:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    assert is_finished(tmp_path / "one", output, Path("a"), path)
    assert not is_finished(tmp_path / "one", output, Path("b"), path)


def test_a_table_without_its_picture_is_not_finished(tmp_path: Path) -> None:
    path, _ = taken(tmp_path, "small")
    predict(predictor(), path, tmp_path / "out", save=["instances"])
    (tmp_path / "out/instances/a.png").unlink()
    done = predict(predictor(), path, tmp_path / "out", save=["instances"])
    assert (done.written, done.finished) == ((Path("a"),), ())
    assert (tmp_path / "out/instances/a.png").exists()


def test_a_folder_of_the_pictures_name_is_no_result_of_it(tmp_path: Path) -> None:
    for name in ("day.png", "day/a.png"):
        write_png(tmp_path / "in" / name, picture(classes(9, 9)))
    predict(predictor(), tmp_path / "in/day", tmp_path / "out", save=["masks"])
    (tmp_path / "out/masks/day").mkdir()
    (tmp_path / "out/masks/a.png").rename(tmp_path / "out/masks/day/a.png")
    done = predict(predictor(), tmp_path / "in", tmp_path / "out", save=["masks"])
    assert (set(done.written), done.finished) == ({Path("day"), Path("day/a")}, ())


def test_every_kind_of_result_is_named() -> None:
    assert [*OUTPUTS, *MAPS] == EVERYTHING
    assert len(set(EVERYTHING)) == len(EVERYTHING)
