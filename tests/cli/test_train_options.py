"""What is found out by training: --find-lr, --find-batch, --seeds, --folds."""

import json
import re

import pytest

from tests.cli.conftest import SMALL

SHORT = ["--steps", "2", "--device", "cpu", *SMALL]


def test_find_lr_suggests_a_rate_that_train_takes(intarsia, photos, tmp_path):
    code, out, err = intarsia("train", photos, "--find-lr", "--out", tmp_path / "rate", *SMALL)
    assert code == 0, err
    suggested = re.search(r"^suggested: (optim\.lr=(\S+))$", out, re.MULTILINE)
    told = json.loads((tmp_path / "rate" / "learning-rate.json").read_text())
    assert float(suggested[2]) == pytest.approx(told["suggested"], rel=0.05)
    assert f"picture: {tmp_path / 'rate' / 'learning-rate.png'}\n" in out
    assert (tmp_path / "rate" / "learning-rate.png").is_file()
    assert intarsia("train", photos, "--out", tmp_path / "run", suggested[1], *SHORT)[0] == 0


def test_find_batch_lists_what_was_tried_and_what_fits(intarsia, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = intarsia("train", photos, "--find-batch", *SMALL)
    assert code == 0, err
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows[1:5]] == ["1", "2", "4", "8"]
    assert "largest that fits: train.batch=8; most images/s: train.batch=" in out
    assert list(tmp_path.iterdir()) == [], "nothing is kept"


def test_find_batch_says_why_not(intarsia, photos):
    code, out, _ = intarsia("train", photos, "--find-batch", "--budget", "0.001", *SMALL)
    assert code == 0
    assert "fewer than 300 steps" in out
    assert "Not even one pair fits" in out


@pytest.mark.parametrize(
    ("option", "names"), [("--seeds", ("seed-0", "seed-1")), ("--folds", ("fold-1", "fold-2"))]
)
def test_seeds_and_folds(intarsia, photos, tmp_path, option, names):
    command = ("train", photos, option, "2", "--out", tmp_path / "all", *SHORT)
    code, out, err = intarsia(*command)
    assert code == 0, err
    mious = [float(re.search(rf"^{name} +validation mIoU (0\.\d{{4}})$", out, re.MULTILINE)[1]) for name in names]
    mean, spread = map(
        float, re.search(r"^mIoU (0\.\d+) ± (0\.\d+) \(mean and .* of 2\)$", out, re.MULTILINE).groups()
    )
    assert mean == pytest.approx(sum(mious) / 2, abs=1e-4)
    assert spread == pytest.approx(abs(mious[0] - mious[1]) / 2**0.5, abs=2e-4)
    assert ("each judged by the model that has not seen it" in out) == (option == "--folds")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["ensemble.json", *names]
    code, again, err = intarsia(*command, "--resume")
    assert (code, again) == (0, out), err
    assert err.count("continuing at step 2") == 2
    code, _, err = intarsia(*command)
    assert (code, "is not empty" in err) == (2, True)


def test_runs_of_folds_predict_and_evaluate_together(intarsia, photos, tmp_path):
    assert intarsia("train", photos, "--folds", "2", "--out", tmp_path / "all", *SHORT)[0] == 0
    code, _, err = intarsia("evaluate", tmp_path / "all", photos)
    assert (code, "give --split test, or one of the folds" in err) == (2, True)
    code, out, err = intarsia("evaluate", tmp_path / "all", photos, "--split", "test", "--json")
    assert code == 0, err
    assert json.loads(out)["images"] == 2
    code, _, err = intarsia("predict", tmp_path / "all", photos / "images" / "test", "--out", tmp_path / "out")
    assert code == 0, err
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--find-lr", "--find-batch"], "--find-lr and --find-batch: only one of them can be done at a time"),
        (["--seeds", "2", "--folds", "2", "--out", "all"], "--seeds and --folds: only one of them"),
        (["--seeds", "0", "--find-lr"], "--find-lr and --seeds: only one of them"),
        (["--find-lr", "--resume", "--out", "all"], "--resume: trying settings is not continued"),
        (["--seeds", "1", "--out", "all"], "--seeds 1: give 2 or more"),
        (["--folds", "0", "--out", "all"], "--folds 0: give 2 or more"),
        (["--folds", "2"], "--seeds and --folds need --out: a folder for all the runs"),
        (["--seeds", "2"], "--seeds and --folds need --out"),
    ],
)
def test_what_does_not_go_together(intarsia, photos, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = intarsia("train", photos, *arguments, *SHORT)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {words}")
    assert list(tmp_path.iterdir()) == [], "and nothing was begun"


def test_more_folds_than_pictures(intarsia, photos, tmp_path):
    code, _, err = intarsia("train", photos, "--folds", "99", "--out", tmp_path / "all", *SHORT)
    assert code == 3
    assert "scenes cannot be dealt into 99 folds. Give fewer." in err
