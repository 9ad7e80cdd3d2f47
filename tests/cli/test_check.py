"""`intarsia check`: what it prints, its exit codes, and that training starts from what --fix wrote."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import SMALL


def spoil(photos):
    """Masks of 0 and 255, one picture cut off, and one of train in val too."""
    (photos / "dataset.toml").unlink()
    for path in (photos / "masks").rglob("*.png"):
        Image.fromarray((np.array(Image.open(path)) > 0).astype(np.uint8) * 255).save(path)
    picture = photos / "images" / "train" / "scene_0001.png"
    picture.write_bytes(picture.read_bytes()[:2000])
    for kind in ("images", "masks"):
        shutil.copy(photos / kind / "train" / "scene_0002.png", photos / kind / "val" / "again.png")


def test_a_sound_set(intarsia, photos):
    code, out, err = intarsia("check", photos)
    assert (code, err) == (0, "")
    assert "0 errors, 0 warnings" in out
    assert "10 pairs in train, 4 pairs in val, 2 pairs in test" in out
    assert "pedestrian" in out


@pytest.mark.skipif(os.name == "nt", reason="no such file names there")
def test_names_do_not_command_the_terminal(intarsia, own_photos):
    image = sorted((own_photos / "images/train").iterdir())[0]
    image.rename(image.with_name("a\x1b[31m\r.png"))
    (own_photos / "classes.txt").write_text("\n".join(f"[bold]\x1b[3{number}m" for number in range(30)))
    (own_photos / "dataset.toml").unlink(missing_ok=True)
    _, out, err = intarsia("check", own_photos)
    assert r"a\x1b[31m\r.png" in out
    assert r"[bold]\x1b[31m" in out
    assert not set("\x1b\r") & set(out + err)


@pytest.mark.skipif(os.name == "nt", reason="no such file names there")
def test_errors_do_not_command_the_terminal(intarsia, tmp_path):
    code, _, err = intarsia("check", tmp_path / "a\x1b[31m\r")
    assert code == 3
    assert r"a\x1b[31m\r: does not exist" in err


def test_json_is_one_object_with_the_promised_keys(intarsia, own_photos):
    spoil(own_photos)
    code, out, _ = intarsia("check", own_photos, "--json")
    told = json.loads(out)
    assert code == 3
    assert told["ok"] is False
    assert {"ok", "findings", "classes", "splits", "encoding"} <= told.keys()
    for finding in told["findings"]:
        assert {"id", "severity", "count", "files", "message", "mend"} <= finding.keys()
        assert finding["severity"] in ("error", "warning", "note")
    assert [finding["id"] for finding in told["findings"]][:2] == ["truncated", "leak"]
    assert [(entry["name"], entry["value"]) for entry in told["classes"]] == [("class 0", 0), ("class 255", 255)]
    assert sum(entry["share"] for entry in told["classes"]) == pytest.approx(1)
    assert told["splits"] == {"train": 10, "val": 5, "test": 2}
    assert "255" in told["encoding"]


def test_training_stops_on_the_same_errors(intarsia, own_photos, tmp_path):
    spoil(own_photos)
    code, _, err = intarsia("train", own_photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert code == 3
    assert "scene_0001.png" in err
    assert "truncated" in err
    assert "mend:" in err
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_what_fix_writes_trains(intarsia, own_photos, tmp_path):
    spoil(own_photos)
    fixed = tmp_path / "fixed.toml"
    code, out, _ = intarsia("check", own_photos, "--fix", fixed)
    assert code == 0
    assert f"intarsia train {fixed}" in out
    text = fixed.read_text()
    assert '"train/scene_0001",  # truncated' in text
    assert '"train/scene_0002",  # leak' in text
    code, out, err = intarsia("train", fixed, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert code == 0, err
    assert "8 pairs to train, 5 to validate" in err
    code, out, err = intarsia("evaluate", tmp_path / "run", fixed)
    assert code == 0, err
    assert "class 255" in out


def test_fix_never_overwrites_a_file_of_ones_own(intarsia, own_photos):
    mine = own_photos / "dataset.toml"
    before = mine.read_text()
    code, _, err = intarsia("check", own_photos, "--fix", mine)
    assert code == 2
    assert "dataset.toml: exists, and is not of `check`'s making" in err
    assert mine.read_text() == before


def test_fix_may_be_written_again_and_keeps_what_it_said(intarsia, own_photos, tmp_path):
    spoil(own_photos)
    fixed = tmp_path / "fixed.toml"
    assert intarsia("check", own_photos, "--fix", fixed)[0] == 0
    assert intarsia("check", fixed, "--fix", fixed)[0] == 0
    assert '"train/scene_0001",  # left out before' in fixed.read_text()


def test_nothing_that_a_dataset_file_can_mend(intarsia, own_photos, tmp_path):
    (own_photos / "dataset.toml").unlink()
    for path in (own_photos / "masks").rglob("*.png"):
        Image.fromarray(np.zeros((48, 64), np.uint8)).save(path)
    code, out, _ = intarsia("check", own_photos, "--fix", tmp_path / "fixed.toml")
    assert code == 3
    assert "one class" in out
    assert "intarsia train" not in out


def test_the_report_is_written(intarsia, photos, tmp_path):
    code, out, _ = intarsia("check", photos, "--report", tmp_path / "check.html")
    assert code == 0
    assert f"report: {tmp_path / 'check.html'}" in out
    assert (tmp_path / "check.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "does not exist"),
        (lambda path: path.mkdir() or path, "holds no pictures"),
        (lambda path: path.write_text("hello") and path, "is a file of no known format"),
        (lambda path: os.mkfifo(path) or path, "is a file of no known format"),
    ],
    ids=["nothing", "an empty folder", "some text", "a pipe"],
)
def test_what_is_no_dataset(intarsia, tmp_path, make, words):
    code, out, err = intarsia("check", make(tmp_path / "data"))
    assert (code, out) == (3, "")
    assert words in err
    assert "Traceback" not in err


def test_check_does_not_import_torch():
    import subprocess
    import sys

    code = "import sys, intarsia.checking, intarsia.cli.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
