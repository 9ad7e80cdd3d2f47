"""What is to be predicted: files, folders, patterns, lists; what lies in the results' folder is none of it."""

from pathlib import Path

import pytest

from intarsia.errors import DataError, SettingsError
from intarsia.inputs import find_images, is_below
from tests.conftest import touch


def found(root: Path, *inputs: str | Path, out: str = "out") -> dict[str, str]:
    """{result: file below `root`}."""
    images = find_images([given if isinstance(given, Path) else root / given for given in inputs], root / out)
    return {result.as_posix(): path.relative_to(root).as_posix() for result, path in images.items()}


def test_a_folder_is_searched_in_order_and_hidden_files_are_none(tmp_path: Path) -> None:
    touch(tmp_path, "in/b.png", "in/a.JPG", "in/day/c.tiff", "in/day/.d.png", "in/.cache/e.png", "in/notes.txt")
    touch(tmp_path, "in/slide.svs", "in/film.mp4", "in/dotted.name.webp", "in/table.csv")
    names = ["a", "b", "day/c", "dotted.name", "film", "slide"]
    assert list(found(tmp_path, "in")) == names


def test_a_folder_may_lie_below_a_hidden_one(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden/in/a.png")
    assert found(tmp_path, ".hidden/in") == {"a": ".hidden/in/a.png"}


def test_a_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    """What it is, its content says."""
    touch(tmp_path, "picture.dat", ".hidden.png")
    assert found(tmp_path, "picture.dat", ".hidden.png") == {"picture": "picture.dat", ".hidden": ".hidden.png"}


def test_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "in/1/a.tif", "in/2/b.tif", "in/2/c.png", "in/a[1].png", "in/a1.png")
    assert found(tmp_path, "in/2/*") == {"b": "in/2/b.tif", "c": "in/2/c.png"}
    assert found(tmp_path, "in/*/*.tif") == {"1/a": "in/1/a.tif", "2/b": "in/2/b.tif"}
    assert found(tmp_path, "in/**/?.png") == {"2/c": "in/2/c.png"}
    assert found(tmp_path, "in/[12]") == {"1/a": "in/1/a.tif", "2/b": "in/2/b.tif", "2/c": "in/2/c.png"}
    assert found(tmp_path, "in/**") == found(tmp_path, "in"), "a folder and what lies in it"
    assert found(tmp_path, "in/a[1].png") == {"a[1]": "in/a[1].png"}, "a file of this very name goes first"
    with pytest.raises(DataError, match=r"in/\*\.jpg: matches no file\.$"):
        found(tmp_path, "in/*.jpg")


def test_equal_names_in_the_folders_of_a_pattern_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "flight/1/x.tif", "flight/2/x.tif", "flight/2/deep/x.tif", "other/1/x.tif")
    flights = {"1/x": "flight/1/x.tif", "2/x": "flight/2/x.tif"}
    assert found(tmp_path, "flight/*/x.tif") == flights
    assert found(tmp_path, "flight/**/x.tif") == {**flights, "2/deep/x": "flight/2/deep/x.tif"}
    assert found(tmp_path, "*/1/*.tif") == {"flight/1/x": "flight/1/x.tif", "other/1/x": "other/1/x.tif"}
    with pytest.raises(DataError, match=r"both would be written as 1/x\. Predict one apart"):
        found(tmp_path, "flight/*/x.tif", "other/*/x.tif")
    with pytest.raises(
        DataError, match=r"/\*/\.\./1/x\.tif: leads up again behind a wildcard\. Leave the `\.\.` out\.$"
    ):
        found(tmp_path, "flight/*/../1/x.tif")
    monkeypatch.chdir(tmp_path)
    assert set(find_images(["*/1/x.tif"], Path("out"))) == {Path("flight/1/x"), Path("other/1/x")}
    assert set(find_images(["flight/../*/1/x.tif"], Path("out"))) == {Path("flight/1/x"), Path("other/1/x")}


def test_a_pattern_may_begin_in_a_folder_that_looks_like_one(tmp_path: Path) -> None:
    touch(tmp_path, "day[1]/a.png", "day1/b.png")
    (tmp_path / "day[1]" / "list.txt").write_text("*.png\n")
    assert found(tmp_path, "day[1]/*.png") == {"a": "day[1]/a.png"}
    assert found(tmp_path, "day[1]/list.txt") == {"a": "day[1]/a.png"}


def test_a_pattern_matches_no_lists(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "in/day.txt/b.png")
    for name in ("notes.txt", "more.TXT"):
        (tmp_path / "in" / name).write_text("These are the pictures of the first day.\n")
    assert found(tmp_path, "in/*") == {"a": "in/a.png", "day.txt/b": "in/day.txt/b.png"}
    words = r"in/\?o\*\.\*: matches no picture but more\.TXT, notes\.txt\. A list of paths is given by its name\.$"
    with pytest.raises(DataError, match=words):
        found(tmp_path, "in/?o*.*")


def test_lists(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "in/b/c.png", "in/d e.png")
    (tmp_path / "in" / "more.txt").write_text("b\n")
    lines = ["", "a.png", "  d e.png  ", "more.txt", str(tmp_path / "in" / "a.png"), ""]
    (tmp_path / "in" / "list.txt").write_text("\r\n".join(lines), encoding="utf-8")
    assert found(tmp_path, "in/list.txt") == {"a": "in/a.png", "d e": "in/d e.png", "c": "in/b/c.png"}


def test_lists_of_windows_begin_with_a_mark(tmp_path: Path) -> None:
    touch(tmp_path, "ä.png")
    (tmp_path / "list.txt").write_text("ä.png\n", encoding="utf-8-sig")
    assert found(tmp_path, "list.txt") == {"ä": "ä.png"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"gone.png\n", r"gone\.png: does not exist\.$"),
        ("ä.png".encode("latin-1"), r"list\.txt: is no list of paths: .*UTF-8"),
        (b"x" * 5000, r"x: does not exist\.$"),
        (b"a\0b", r"does not exist\.$"),
        (b"", r"No images in .*list\.txt\. Read are "),
        (b"list.txt\n", r"list\.txt: names itself"),
    ],
    ids=["missing", "no UTF-8", "prose", "binary", "empty", "itself"],
)
def test_a_list_that_is_none_says_why(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match=words):
        found(tmp_path, "list.txt")


@pytest.mark.parametrize(
    "remote",
    ["http://host/a.tif", "https://host/*.tif", "s3://bucket/a.tif", "/vsicurl/http://host/a.tif", "gs://b/a.png"],
)
def test_nothing_is_fetched(remote: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{remote}\n")
    for given in (remote, Path(remote), tmp_path / "list.txt"):
        with pytest.raises(DataError, match=r"a\.tif|\*\.tif|a\.png") as caught:
            find_images([given], tmp_path / "out")
        assert str(caught.value).endswith("is no file here. Download it first.")


def test_equal_names_from_two_places_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.png", "y/a.png", "y/a.jpg", "x/deep/b.png")
    with pytest.raises(DataError, match=r"x/a\.png and .*y/a\.jpg: both would be written as a\. Predict one apart"):
        found(tmp_path, "x", "y")
    with pytest.raises(DataError, match="both would be written as a"):
        found(tmp_path, "y")
    assert list(found(tmp_path, "x/a.png", "x", "x/deep/b.png")) == ["a", "deep/b", "b"]


def test_a_video_and_a_folder_of_its_name_are_refused(tmp_path: Path) -> None:
    """The frames' folder is the video's name, and replaces what was there."""
    touch(tmp_path, "in/day.mp4", "in/day/a.png")
    with pytest.raises(DataError, match=r"in/day\.mp4 and .*in/day/a\.png: .*Predict one apart"):
        found(tmp_path, "in")
    touch(tmp_path, "pictures/day.png", "pictures/day/a.png")
    assert set(found(tmp_path, "pictures")) == {"day", "day/a"}


def test_results_inside_the_input_are_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "out/masks/a.png", "out/masks/b.png", "outer/c.png")
    assert found(tmp_path, tmp_path) == {"a": "a.png", "outer/c": "outer/c.png"}
    assert found(tmp_path, "**/*.png") == {"a": "a.png", "outer/c": "outer/c.png"}
    assert found(tmp_path, "out/masks/b.png") == {"b": "out/masks/b.png"}, "a file by its name"
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert found(tmp_path, tmp_path, out="link") == {"a": "a.png", "outer/c": "outer/c.png"}
    monkeypatch.chdir(tmp_path)
    assert set(find_images(["."], Path("out"))) == {Path("a"), Path("outer/c")}, "relative paths too"


@pytest.mark.parametrize("out", [".", "in", ".."])
def test_results_around_the_input_are_refused(out: str, tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png")
    with pytest.raises(SettingsError, match=r"^--out .*: holds the input folder .*in\. Choose one beside or below"):
        found(tmp_path, "in", out=out)


def test_below_follows_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert is_below(tmp_path / "link" / "a.png", tmp_path / "real")
    assert not is_below(tmp_path / "realer" / "a.png", tmp_path / "real")
