"""The Oxford-IIIT Pet dataset: cats and dogs, with masks of the animal, what is around it, and the border between.

    images/NAME.jpg
    annotations/trimaps/NAME.png             1 the pet, 2 the background, 3 the border: ignored
    annotations/{trainval,test}.txt          names, in the first column

The folder may lie in one that is called oxford-iiit-pet.
"""

from pathlib import Path

from intarsia.data.pairing import files_in, folders_in
from intarsia.data.pairs import Dataset
from intarsia.data.splitlists import pair_listed
from intarsia.errors import DataError
from intarsia.labels import Labels

_LISTS = {"train": "trainval.txt", "test": "test.txt"}
_INSIDE = "oxford-iiit-pet"  # as torchvision unpacks it


def recognise(path: Path) -> bool:
    """A folder with `images`, `annotations/trimaps` and lists, or one that holds it."""
    return bool(_lists(_root(path)))


def open_pet(path: Path) -> Dataset:
    """Pairs the files of the two lists.

    Raises:
        DataError: no such folder, or none of the listed pictures has a mask.
    """
    root = _root(path)
    lists = _lists(root)
    if not lists:
        raise DataError(f"{path}: expected images/, annotations/trimaps/ and annotations/{_LISTS['train']}.")
    splits, strays = pair_listed(root / "images", root / "annotations/trimaps", lists)
    if not splits:
        raise DataError(
            f"{root}: no picture that {', '.join(_LISTS.values())} list has a mask in annotations/trimaps/."
        )
    labels = Labels.of_values((2, 1), ignore=(3,), names=("background", "pet"))
    return Dataset(path, splits, labels, strays=strays)


def _root(path: Path) -> Path:
    return path / _INSIDE if _INSIDE in folders_in(path) else path


def _lists(root: Path) -> dict[str, Path]:
    """{split: its list}; none where it is no such dataset."""
    annotations = root / "annotations"
    if "images" not in folders_in(root) or "trimaps" not in folders_in(annotations):
        return {}
    files = files_in(annotations, {".txt"})
    return {split: annotations / name for split, name in _LISTS.items() if name in files}
