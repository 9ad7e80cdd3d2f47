"""From blocks of logits to files: however they are cut, cleaned in memory or on the disk, whole or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intarsia.errors import DataError, MachineError
from intarsia.objects.specks import without_specks
from intarsia.results.outputs import Strips, all_outputs
from intarsia.results.writing import cleaned, masks_of, write_answers
from intarsia.tiles import Window
from intarsia.tiling import Block
from tests.conftest import unprivileged
from tests.results.known import classes, files, picture, read, subject

SIZE = (23, 31)
TRUTH = classes(*SIZE)


def logits(mask: NDArray[Any]) -> torch.Tensor:
    """[3, H, W] of a mask: not equally sure everywhere."""
    sure = torch.from_numpy(np.random.default_rng(1).uniform(1, 4, mask.shape)).float()
    return torch.nn.functional.one_hot(torch.from_numpy(mask.astype(np.int64)), 3).permute(2, 0, 1) * sure


LOGITS = logits(TRUTH)


def blocks(rows: list[int], columns: list[int]) -> Iterator[Block]:
    """The logits, cut at these rows and columns."""
    for top, bottom in zip([0, *rows], [*rows, SIZE[0]], strict=True):
        for left, right in zip([0, *columns], [*columns, SIZE[1]], strict=True):
            yield Block(Window(top, left, bottom - top, right - left), LOGITS[:, top:bottom, left:right].clone())


def cuts(length: int) -> st.SearchStrategy[list[int]]:
    return st.sets(st.integers(1, length - 1), max_size=6).map(sorted)


@settings(max_examples=60, deadline=None)
@given(rows=cuts(SIZE[0]), columns=cuts(SIZE[1]))
def test_strips_come_once_and_from_top_to_bottom_whatever_the_cut(rows: list[int], columns: list[int]) -> None:
    strips = list(masks_of(subject(picture(TRUTH), Path()), blocks(rows, columns)))
    assert [top for top, _ in strips] == [0, *rows]
    assert {strip.shape[1] for _, strip in strips} == {SIZE[1]}
    assert np.array_equal(np.concatenate([strip for _, strip in strips]), TRUTH)


def test_strips_of_more_than_numbers() -> None:
    given = np.arange(4 * 6 * 2).reshape(4, 6, 2)
    seen: list[tuple[int, NDArray[Any]]] = []
    strips = Strips(6, lambda top, strip: seen.append((top, strip)))
    for top, left, height, width in ((0, 0, 3, 2), (0, 2, 3, 4), (3, 0, 1, 6)):
        strips.add(Window(top, left, height, width), given[top : top + height, left : left + width])
    assert [top for top, _ in seen] == [0, 3]
    assert np.array_equal(np.concatenate([strip for _, strip in seen]), given)


@settings(max_examples=60, deadline=None)
@given(rows=cuts(SIZE[0]), columns=cuts(SIZE[1]), smallest=st.integers(0, 60), on_disk=st.booleans())
def test_specks_are_the_same_in_memory_and_on_the_disk(
    rows: list[int], columns: list[int], smallest: int, on_disk: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.getbasetemp()
    before = set(out.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("intarsia.results.writing._IN_MEMORY", 0 if on_disk else 1 << 20)
        own = subject(picture(TRUTH), out, min_area=smallest)
        strips = list(cleaned(masks_of(own, blocks(rows, columns)), own))
    assert np.array_equal(np.concatenate([strip for _, strip in strips]), without_specks(TRUTH, smallest))
    assert [top for top, _ in strips] == [0, *rows]
    assert set(out.iterdir()) == before


def test_specks_are_there() -> None:
    """Or the test above would show nothing."""
    assert (without_specks(TRUTH, 30) != TRUTH).sum() > 30


def test_wide_masks_go_to_the_disk_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intarsia.results.writing._IN_MEMORY", 0)
    strips = [(0, TRUTH[:9].astype(np.uint16) + 300), (9, TRUTH[9:].astype(np.uint16) + 300)]
    made = list(cleaned(strips, subject(picture(TRUTH), tmp_path, min_area=20)))
    assert {strip.dtype for _, strip in made} == {np.dtype(np.uint16)}
    expected = without_specks(TRUTH, 20).astype(np.uint16) + 300
    assert np.array_equal(np.concatenate([strip for _, strip in made]), expected)


def test_a_place_that_cannot_hold_the_strips_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intarsia.results.writing._IN_MEMORY", 0)
    tmp_path.chmod(0o555)
    own = subject(picture(TRUTH), tmp_path, min_area=5)
    with unprivileged(), pytest.raises(MachineError, match=rf"{tmp_path}: cannot be written: not allowed"):
        list(cleaned(masks_of(own, blocks([], [])), own))
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("smallest", [0, 12])
def test_every_output_is_the_same_whatever_the_cut(smallest: int, tmp_path: Path) -> None:
    contents = []
    for name, rows, columns in (("one", [], []), ("many", [1, 2, 9, 22], [1, 30]), ("rows", [5, 17], [])):
        own = subject(picture(TRUTH), tmp_path / name, min_area=smallest, pixel_size="1m")
        write_answers(own, blocks(rows, columns), all_outputs())
        found = files(tmp_path / name)
        rasters = {path for path in found if path.endswith((".png", ".tif"))}
        texts = {path: (tmp_path / name / path).read_bytes() for path in found - rasters}
        contents.append((texts, {path: read(tmp_path / name / path).tolist() for path in rasters}))
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0][0]) + len(contents[0][1]) == len(all_outputs()) + 1


class Broken(Exception):
    pass


@pytest.mark.parametrize("error", [DataError, Broken, KeyboardInterrupt])
@pytest.mark.parametrize("smallest", [0, 12])
@pytest.mark.parametrize("good", [0, 1, 3])
def test_a_failure_in_the_middle_leaves_no_file(
    good: int, smallest: int, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intarsia.results.writing._IN_MEMORY", 0)

    def until() -> Iterator[Block]:
        for number, block in enumerate(blocks([8, 15], [12])):
            if number == good:
                raise error("the middle")
            yield block

    tmp_path.joinpath("out").mkdir()
    with pytest.raises(error, match="the middle"):
        write_answers(subject(picture(TRUTH), tmp_path / "out", min_area=smallest), until(), all_outputs())
    assert files(tmp_path) == set()


@pytest.mark.parametrize("output", all_outputs())
def test_a_failure_at_the_end_leaves_what_is_whole(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One output cannot be closed: of it there is nothing, and of none there is a part."""
    place = tmp_path / output
    place.mkdir()
    for suffix in (".png", ".tif", ".json", ".geojson"):
        (place / f"a{suffix}").mkdir()  # in its way
    with pytest.raises(MachineError, match=rf"{output}/a\.\w+: cannot be written"):
        write_answers(subject(picture(TRUTH), tmp_path), blocks([], []), all_outputs())
    left = files(tmp_path)
    assert not {name for name in left if ".tmp" in name}
    assert not {name for name in left if name.startswith(f"{output}/") and not name.endswith(".csv")}
    for name in left:
        if name.endswith((".png", ".tif")):
            read(tmp_path / name)


def test_an_older_result_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    write_answers(subject(picture(TRUTH), tmp_path), blocks([], []), ["masks"])
    old = (tmp_path / "masks/a.png").read_bytes()

    def broken() -> Iterator[Block]:
        yield next(blocks([8], []))
        raise Broken

    with pytest.raises(Broken):
        write_answers(subject(picture(TRUTH), tmp_path), broken(), ["masks"])
    assert (tmp_path / "masks/a.png").read_bytes() == old


def test_others_are_fed_too_and_left_open(tmp_path: Path) -> None:
    class Counting:
        rows = 0
        closed = False

        def add(self, top: int, strip: NDArray[Any]) -> None:
            assert top == self.rows
            self.rows += len(strip)

        def close(self) -> None:
            self.closed = True

        discard = close

    one = Counting()
    write_answers(subject(picture(TRUTH), tmp_path), blocks([3, 9], [7]), ["masks"], [one])
    assert (one.rows, one.closed) == (SIZE[0], False)
