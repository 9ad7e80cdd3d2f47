"""What is told of all pictures together: sums, volumes, who is missing; the same however the work was shared."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from intarsia.prediction import predict
from tests.results.known import THREE, classes, files, picture, predictor, write_png, write_tiff

SAVE = ["areas", "coco"]
NAMES = [f"{day}/{number}" for day in ("mon", "tue") for number in range(10)]
SIZE = (20, 25)


def truth(name: str) -> np.ndarray:
    return classes(*SIZE, seed=NAMES.index(name))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name in NAMES:
        write_png(folder / f"{name}.png", picture(truth(name)))
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "areas.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_each_picture_and_class_and_their_sums(pictures: Path, tmp_path: Path) -> None:
    predict(predictor(), pictures, tmp_path, {"pixel_size": "2m"}, save=SAVE)
    table = rows(tmp_path)
    assert [(row["picture"], row["class"]) for row in table] == [
        (name, kind) for name in [*NAMES, "(all)"] for kind in THREE.names
    ]
    for index, kind in enumerate(THREE.names):
        of_class = [row for row in table if row["class"] == kind]
        *parts, whole = of_class
        counts = [int((truth(name) == index).sum()) for name in NAMES]
        assert [int(row["pixels"]) for row in parts] == counts
        assert [float(row["area"]) for row in parts] == [4 * count for count in counts]
        assert (int(whole["pixels"]), float(whole["area"])) == (sum(counts), 4 * sum(counts))
        assert float(whole["share"]) == pytest.approx(sum(counts) / (len(NAMES) * SIZE[0] * SIZE[1]))
        assert {row["area_unit"] for row in of_class} == {"m²"}
        assert {row["volume"] for row in of_class} == {""}
        if index:
            assert int(whole["objects"]) == sum(int(row["objects"]) for row in parts)
            assert int(whole["object_pixels_max"]) == max(int(row["object_pixels_max"]) for row in parts)
        else:
            assert {row["objects"] for row in of_class} == {""}, "the background is not counted"


def test_json_says_what_the_table_says(pictures: Path, tmp_path: Path) -> None:
    predict(predictor(), pictures, tmp_path, save=["areas"])
    told = json.loads((tmp_path / "areas.json").read_text())
    assert list(told["pictures"]) == NAMES
    together = [*(row for of_one in told["pictures"].values() for row in of_one), *told["all"]]
    for mine, row in zip(together, rows(tmp_path), strict=True):
        assert {name: "" if value is None else str(value) for name, value in mine.items()} == {
            name: value for name, value in row.items() if name != "picture"
        }
    assert not (tmp_path / "coco.json").exists()


def test_coco_has_all_pictures_and_their_objects(pictures: Path, tmp_path: Path) -> None:
    predict(predictor(), pictures, tmp_path, save=SAVE)
    told = json.loads((tmp_path / "coco.json").read_text())
    assert [image["file_name"] for image in told["images"]] == [f"{name}.png" for name in NAMES]
    assert [one["id"] for one in told["annotations"]] == list(range(1, len(told["annotations"]) + 1))
    by_class = dict.fromkeys((1, 2, 3), 0)
    for annotation in told["annotations"]:
        by_class[annotation["category_id"]] += annotation["area"]
    counts = np.bincount(np.concatenate([truth(name).ravel() for name in NAMES]), minlength=3)
    assert by_class == {1: 0, 2: counts[1], 3: counts[2]}
    assert len(told["annotations"]) == sum(int(row["objects"] or 0) for row in rows(tmp_path)[-3:])


@pytest.mark.parametrize("of", [2, 3, 5])
def test_any_number_of_shards_gives_the_same(of: int, pictures: Path, tmp_path: Path) -> None:
    predict(predictor(), pictures, tmp_path / "one", save=SAVE)
    notes = []
    for number in range(1, of + 1):
        options = {"shard": f"{number}/{of}"}
        notes.append(predict(predictor(), pictures, tmp_path / "several", options, save=SAVE).notes)
    assert files(tmp_path / "one") == files(tmp_path / "several")
    for name in files(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "several" / name).read_bytes(), name
    missing = [20 - done for done in {2: (10, 20), 3: (7, 14, 20), 5: (4, 8, 12, 16, 20)}[of]]
    for told, number in zip(notes, missing, strict=True):
        found = [note for note in told if f"without {number} pictures of 20" in note]
        assert len(found) == (2 if number else 0)
        assert (not told) == (not number)
        assert all(
            "Once all parts are done, the same command without --shard writes it anew." in note for note in found
        )


def test_an_unreadable_picture_is_told_as_missing(pictures: Path, tmp_path: Path) -> None:
    for name in ("a", "b/c"):
        write_png(tmp_path / "in" / f"{name}.png", picture(classes(9, 9)))
    (tmp_path / "in" / "b.png").write_text("no picture")  # has the name of a folder of pictures
    done = predict(predictor(), tmp_path / "in", tmp_path / "out", save=["areas"])
    assert [path.name for path, _ in done.failed] == ["b.png"]
    (note,) = done.notes
    assert note.startswith(f"{tmp_path / 'out' / 'areas'}.json: without 1 picture of 3: unreadable, or another")
    assert {row["picture"] for row in rows(tmp_path / "out")} == {"a", "b/c", "(all)"}


def test_a_picture_that_is_damaged_now_is_not_counted_as_it_was(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        write_png(tmp_path / "in" / f"{name}.png", picture(classes(9, 9, seed=number)))
    predict(predictor(), tmp_path / "in", tmp_path / "out", save=["areas"])
    (tmp_path / "in" / "b.png").write_text("no picture any more")
    done = predict(predictor(), tmp_path / "in", tmp_path / "out", save=["areas"])
    assert ([path.name for path, _ in done.failed], len(done.notes)) == (["b.png"], 1)
    assert {row["picture"] for row in rows(tmp_path / "out")} == {"a", "(all)"}


def test_without_any_readable_picture_there_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    done = predict(predictor(), tmp_path / "a.png", tmp_path / "out", save=SAVE)
    assert len(done.failed) == 1
    assert files(tmp_path / "out") == {"prediction.json"}


def stack(path: Path, depth: int = 5) -> np.ndarray:
    masks = np.stack([classes(*SIZE, seed=number) for number in range(depth)])
    tifffile.imwrite(path, np.stack([picture(mask) for mask in masks]), photometric="minisblack")
    return masks


SPACING = {"spacing": "2mm,0.5mm,0.4mm"}


def test_a_stack_with_a_spacing_has_volumes(tmp_path: Path) -> None:
    masks = stack(tmp_path / "scan.tif")
    predict(predictor(), tmp_path / "scan.tif", tmp_path / "out", SPACING, save=SAVE)
    table = rows(tmp_path / "out")
    names = [f"scan/{number:06d}" for number in range(1, 6)]
    assert [row["picture"] for row in table][::3] == [*names, "(all)"]
    for index, row in enumerate(table[-3:]):
        assert float(row["volume"]) == pytest.approx((masks == index).sum() * 2 * 0.5 * 0.4)
        assert (row["volume_unit"], row["area_unit"]) == ("mm³", "mm²")
    for number, mask in enumerate(masks):
        for index, row in enumerate(table[3 * number : 3 * number + 3]):
            assert float(row["volume"]) == pytest.approx((mask == index).sum() * 0.4)


def test_slices_in_files_of_their_own_have_the_volume_of_the_stack(tmp_path: Path) -> None:
    masks = stack(tmp_path / "scan.tif")
    for number, mask in enumerate(masks):
        write_png(tmp_path / "slices" / f"{number}.png", picture(mask))
    sums = []
    for name in ("scan.tif", "slices"):
        predict(predictor(), tmp_path / name, tmp_path / f"out-{name}", SPACING, save=["areas"])
        sums.append(json.loads((tmp_path / f"out-{name}" / "areas.json").read_text())["all"])
    assert sums[0] == sums[1]


def test_frames_have_lasting_names_in_coco(tmp_path: Path) -> None:
    stack(tmp_path / "scan.tif", 3)
    predict(predictor(), tmp_path / "scan.tif", tmp_path / "out", save=SAVE)
    names = [f"scan/{number:06d}.tif" for number in (1, 2, 3)]
    assert [image["file_name"] for image in json.loads((tmp_path / "out/coco.json").read_text())["images"]] == names
    for name in names:
        record = tmp_path / "out" / "coco" / Path(name).with_suffix(".json")
        assert json.loads(record.read_text())["file_name"] == name


def test_pictures_without_a_scale_beside_others(tmp_path: Path) -> None:
    write_png(tmp_path / "in/a.png", picture(classes(9, 9)))
    write_tiff(tmp_path / "in/b.tif", picture(classes(9, 9)))
    predict(predictor(), tmp_path / "in", tmp_path / "out", save=["areas"])
    areas = {(row["picture"], row["class"]): row["area"] for row in rows(tmp_path / "out")}
    assert areas["b", "field"] == str((classes(9, 9) == 1).sum() / 4)
    assert areas["a", "field"] == areas["(all)", "field"] == ""


def test_a_second_call_tells_of_the_first_ones_pictures_too(pictures: Path, tmp_path: Path) -> None:
    """What is finished is left alone, and counted all the same."""
    options: dict[str, Any] = {}
    predict(predictor(), pictures / "mon", tmp_path / "out", options, save=SAVE)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    done = predict(predictor(), pictures / "mon", tmp_path / "out", options, save=SAVE)
    assert (done.written, len(done.finished)) == ((), 10)
    assert before == {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
