"""Pairing: files are listed without being opened, and paired by name; whatever is odd among them is named."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intarsia.data.index import open_dataset
from intarsia.data.pairing import Listing, files_in, folders_in, list_files, pair_folders, short_names
from intarsia.errors import DataError
from tests.conftest import found, touch, unprivileged

PNG = frozenset({".png"})


def odd(listing: Listing) -> dict[str, list[str]]:
    """{finding: paths below the folder}."""
    return {
        stray.finding: [path.relative_to(listing.folder).as_posix() for path in stray.paths]
        for stray in listing.strays
    }


class TestListing:
    def test_files_of_all_sub_folders_sorted(self, tmp_path):
        touch(tmp_path, "b.png", "a.PNG", "sub/deep/c.Png", "sub/d.jpg", "e", "f.png.txt", "sub.png/g.png")
        listing = list_files(tmp_path, PNG)
        assert listing.files == ("a.PNG", "b.png", "sub.png/g.png", "sub/deep/c.Png")
        assert listing.strays == ()

    @pytest.mark.parametrize(
        "name",
        [" a b .png", "line\nbreak.png", "-rf.png", "straße.png", "写真.png", "a.b.c.png", "[*?]{x}.png", "%s.png"],
    )
    def test_names_are_taken_as_they_are(self, tmp_path, name):
        touch(tmp_path, f"images/{name}", f"masks/{name}")
        assert list_files(tmp_path, PNG).files == (f"images/{name}", f"masks/{name}")
        (pair,) = pair_folders(tmp_path / "images", tmp_path / "masks").pairs
        assert (pair.name, pair.image) == (name.removesuffix(".png"), tmp_path / "images" / name)

    @pytest.mark.skipif(os.name == "nt", reason="names are text there")
    def test_names_that_are_no_text(self, tmp_path):
        name = os.fsdecode(b"\xff.png")
        try:
            touch(tmp_path, name)
        except OSError:
            pytest.skip("this file system takes only text")
        assert list_files(tmp_path, PNG).files == (name,)

    @pytest.mark.parametrize(
        "name",
        ["._a.png", ".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", "__MACOSX/a.png", "__MACOSX/._a.png"],
    )
    def test_what_file_managers_leave_behind_is_told(self, tmp_path, name):
        touch(tmp_path, "sub/b.png", f"sub/{name}")
        listing = list_files(tmp_path, PNG)
        assert listing.files == ("sub/b.png",)
        assert odd(listing) == {"junk": [f"sub/{name.split('/')[0]}"]}

    def test_hidden_files_and_folders_are_passed_over(self, tmp_path):
        touch(tmp_path, ".hidden.png", ".git/a.png", "sub/.thumbs/b.png", "c.png")
        listing = list_files(tmp_path, PNG)
        assert (listing.files, listing.strays) == (("c.png",), ())

    def test_links_are_followed(self, tmp_path):
        touch(tmp_path, "elsewhere/sub/a.png", "folder/b.png")
        (tmp_path / "folder/file.png").symlink_to("../elsewhere/sub/a.png")
        (tmp_path / "folder/sub").symlink_to("../elsewhere")
        listing = list_files(tmp_path / "folder", PNG)
        assert listing.files == ("b.png", "file.png", "sub/sub/a.png")
        assert listing.strays == ()

    @pytest.mark.parametrize("target", [".", "..", "../..", "../sub"])
    def test_circles_are_told_and_left(self, tmp_path, target):
        touch(tmp_path, "folder/a.png", "folder/sub/b.png")
        (tmp_path / "folder/sub/again").symlink_to(target)
        listing = list_files(tmp_path / "folder", PNG)
        assert listing.files == ("a.png", "sub/b.png")
        assert odd(listing) == {"link-circle": ["sub/again"]}

    def test_two_folders_that_lead_to_each_other(self, tmp_path):
        touch(tmp_path, "one/a.png", "two/b.png")
        (tmp_path / "one/other").symlink_to("../two")
        (tmp_path / "two/other").symlink_to("../one")
        listing = list_files(tmp_path / "one", PNG)
        assert listing.files == ("a.png", "other/b.png")
        assert odd(listing) == {"link-circle": ["other/other"]}

    def test_links_that_branch_are_followed_once(self, tmp_path):
        for level in range(40):
            (tmp_path / str(level)).mkdir()
            for name in "xy":
                (tmp_path / f"{level}/{name}").symlink_to(f"../{level + 1}")
        touch(tmp_path, "40/a.png")
        listing = list_files(tmp_path / "0", PNG)
        assert listing.files == ("x/" * 40 + "a.png",)
        assert listing.strays == ()

    def test_a_link_beside_the_folder_that_it_leads_to(self, tmp_path):
        touch(tmp_path, "one/sub/a.png")
        for name in ("again", "two"):
            (tmp_path / name).symlink_to("one")
        assert list_files(tmp_path, PNG).files == ("again/sub/a.png", "one/sub/a.png")

    def test_folders_that_are_nested_deeply(self, tmp_path):
        folder, folders = tmp_path, []
        while len(folders) < 1100:  # more than Python calls within each other
            folder = folder / "d"
            folder.mkdir()
            folders.append(folder)
        (folder / "a.png").touch()
        listing = list_files(tmp_path, PNG)
        (folder / "a.png").unlink()
        for one in reversed(folders):  # pytest could not
            one.rmdir()
        assert listing.files == ("d/" * 1100 + "a.png",)

    @pytest.mark.parametrize("target", ["gone.png", "broken.png", "a.png/below.png", "../" * 40 + "gone"])
    def test_links_that_lead_nowhere(self, tmp_path, target):
        touch(tmp_path, "a.png")
        (tmp_path / "broken.png").symlink_to(target)
        listing = list_files(tmp_path, PNG)
        assert listing.files == ("a.png",)
        assert odd(listing) == {"broken-link": ["broken.png"]}
        assert (files_in(tmp_path, PNG), folders_in(tmp_path)) == (("a.png",), ())

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
    def test_pipes_and_sockets_are_never_opened(self, tmp_path, monkeypatch):
        touch(tmp_path, "a.png")
        os.mkfifo(tmp_path / "pipe.png")
        monkeypatch.chdir(tmp_path)  # the paths of sockets are short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("socket.png")
            listing = list_files(tmp_path, PNG)
            assert (files_in(tmp_path, PNG), folders_in(tmp_path)) == (("a.png",), ())
        assert listing.files == ("a.png",)
        assert odd(listing) == {"not-a-file": ["pipe.png", "socket.png"]}

    def test_a_pipe_beside_a_mask_is_no_image(self, tmp_path):
        touch(tmp_path, "images/a.png", "masks/a.png", "masks/b.png")
        os.mkfifo(tmp_path / "images/b.png")
        pairing = pair_folders(tmp_path / "images", tmp_path / "masks")
        assert [pair.name for pair in pairing.pairs] == ["a"]
        assert [(stray.finding, stray.paths) for stray in pairing.strays] == [
            ("not-a-file", (tmp_path / "images/b.png",)),
            ("unpaired", (tmp_path / "masks/b.png",)),
        ]

    def test_names_in_one_folder_only(self, tmp_path):
        touch(
            tmp_path, "b.PNG", "a.png", "c.txt", ".d.png", "sub/e.png", "two/f", ".git/g", "__MACOSX/h", "Thumbs.db"
        )
        assert files_in(tmp_path, PNG) == ("a.png", "b.PNG")
        assert folders_in(tmp_path) == ("sub", "two")
        assert (files_in(tmp_path / "gone", PNG), folders_in(tmp_path / "gone")) == ((), ())


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may look into."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are other ones there")
class TestPermissions:
    def test_folders_that_may_not_be_read_are_told(self, shared):
        touch(shared, "images/a.png", "images/closed/b.png", "masks/a.png")
        (shared / "images/link.png").symlink_to("closed/b.png")
        (shared / "images/closed").chmod(0)
        with unprivileged():
            listing = list_files(shared / "images", PNG)
            assert folders_in(shared / "images/closed") == ()
        assert listing.files == ("a.png",)
        assert odd(listing) == {"unreadable": ["closed", "link.png"]}

    @pytest.mark.parametrize("closed", [".", "images", "masks", "masks/train"])
    def test_a_dataset_that_may_not_be_read(self, shared, closed):
        touch(shared, "data/images/train/a.png", "data/masks/train/a.png")
        (shared / "data" / closed).chmod(0)
        with (
            unprivileged(),
            pytest.raises(DataError, match=rf"data/\S*{closed}.*: may not be read \(permissions\)"),
        ):
            open_dataset(shared / "data")

    def test_the_others_are_paired(self, shared):
        touch(shared, *(f"{kind}/{split}/a.png" for kind in ("images", "masks") for split in ("train", "val")))
        (shared / "masks/val").chmod(0)
        with unprivileged():
            dataset = open_dataset(shared)
        assert set(dataset.splits) == {"train"}
        assert [(stray.finding, stray.paths) for stray in dataset.strays] == [
            ("unreadable", (shared / "masks/val",)),
            ("unpaired", (shared / "images/val/a.png",)),
        ]


@pytest.mark.parametrize("image", ["png", "jpg", "JPEG", "tif", "tiff", "webp", "bmp"])
@pytest.mark.parametrize("mask", ["png", "TIF", "bmp", "webp", "gif"])
def test_pairing_whatever_the_extension(tmp_path, image, mask):
    touch(tmp_path, f"images/train/a.{image}", f"masks/train/a.{mask}")
    assert found(open_dataset(tmp_path), tmp_path) == {
        "train": [(f"images/train/a.{image}", f"masks/train/a.{mask}")]
    }


def test_names_with_dots_and_endings_of_their_own(tmp_path):
    touch(
        tmp_path, "images/train/v1.2.jpg", "masks/train/v1.2.png", "images/train/a_seg.jpg", "masks/train/a_seg.png"
    )
    dataset = open_dataset(tmp_path)
    assert {pair.name for pairs in dataset.splits.values() for pair in pairs} == {"a_seg", "v1.2"}


def test_a_jpeg_mask_is_paired_for_the_decoder_to_refuse(tmp_path):
    touch(tmp_path, "images/train/a.jpg", "masks/train/a.jpg")
    assert found(open_dataset(tmp_path), tmp_path) == {"train": [("images/train/a.jpg", "masks/train/a.jpg")]}


def test_hidden_and_foreign_files_are_skipped(tmp_path):
    touch(tmp_path, "images/train/a.jpg", "masks/train/a.png", "images/train/._a.jpg", "masks/train/.trash/a.png")
    touch(tmp_path, "images/train/Thumbs.db", "masks/train/notes.txt")
    dataset = open_dataset(tmp_path)
    assert found(dataset, tmp_path) == {"train": [("images/train/a.jpg", "masks/train/a.png")]}
    assert [(stray.finding, stray.paths) for stray in dataset.strays] == [
        ("junk", (tmp_path / "images/train/._a.jpg", tmp_path / "images/train/Thumbs.db"))
    ]


@pytest.mark.parametrize(
    ("kind", "partner", "candidates"),
    [
        ("images", "masks/train/a.png", ("images/train/a.jpg", "images/train/a.png")),
        ("masks", "images/train/a.jpg", ("masks/train/a.png", "masks/train/a.tif")),
        ("masks", "images/train/a.jpg", ("masks/train/a.png", "masks/train/a_mask.png")),
        ("masks", "images/train/a.jpg", ("masks/train/a_gt.png", "masks/train/a_mask.png")),
        ("masks", "train/a.jpg", ("train/a_gt.png", "train/a_mask.png")),
    ],
)
def test_two_candidates_are_refused_and_both_named(tmp_path, kind, partner, candidates):
    touch(tmp_path, partner, *candidates)
    with pytest.raises(DataError, match=rf"{candidates[0]} and \S*{candidates[1]}: two {kind}.*Remove"):
        open_dataset(tmp_path)


NAME = st.text("ab._", min_size=1, max_size=5).filter(lambda name: name.strip(".") and not name.startswith("."))


@given(st.sets(NAME, min_size=1, max_size=8), st.sets(NAME, max_size=8))
def test_every_file_is_in_a_pair_or_named(images, masks):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        touch(root, *(f"images/{name}.jpg" for name in images), *(f"masks/{name}.png" for name in masks))
        (root / "masks").mkdir(exist_ok=True)
        pairing = pair_folders(root / "images", root / "masks")
        told = [path for stray in pairing.strays for path in stray.paths]
        told += [path for pair in pairing.pairs for path in pair.files]
        assert sorted(told) == sorted(path for path in root.rglob("*") if path.is_file())
        assert {pair.name for pair in pairing.pairs} >= images & masks


@pytest.mark.parametrize(
    ("images", "names"),
    [
        ([], []),
        (["/data/a.png"], ["a"]),
        (["/data/x/a.png", "/data/y/a.png"], ["x/a", "y/a"]),
        (["/data/a.png", "/data/a.jpg", "/data/b.v2.png"], ["a.png", "a.jpg", "b.v2"]),
    ],
)
def test_short_names(images, names):
    assert short_names([Path(image) for image in images]) == names
