"""Pairing: files are listed without being opened, and paired by name."""

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
    assert dataset.unpaired == ()


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
