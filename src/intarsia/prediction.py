"""Predicting files and folders: masks, overlays and triptychs, with the folder structure kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from intarsia import draw
from intarsia.data.read import IMAGE_SUFFIXES, read_image
from intarsia.errors import DataError, SettingsError, did_you_mean
from intarsia.files import make_folder
from intarsia.labels import Labels
from intarsia.loading import Predictor, load

Writer = Callable[[NDArray[Any], NDArray[Any], Labels, Path], None]
"""(image [H, W, bands], class indices [H, W], labels, path): writes one result."""

OUTPUTS: dict[str, Writer] = {
    "masks": lambda image, mask, labels, path: draw.write_mask(mask, labels, path),
    "overlays": lambda image, mask, labels, path: draw.write_picture(draw.overlay(image, mask, labels), path),
    "triptychs": lambda image, mask, labels, path: draw.write_picture(draw.triptych(image, mask, labels), path),
}


@dataclass(frozen=True)
class Prediction:
    """What `predict` did.

    Attributes:
        out: the folder that was written to.
        written: relative paths without suffix, one for each image; results are `out/<output>/<path>.png`.
        failed: images that could not be read, each with its message.
    """

    out: Path
    written: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]


def predict(
    model: str | Path | Predictor,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    save: Sequence[str] = ("masks",),
    device: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prediction:
    """Predicts images and writes the results, at each image's own upright size.

    Args:
        model: a run folder, a model file, or what `load` returned.
        inputs: image files, and folders that are searched with their sub-folders.
        out: results are written to `out/<output>/<path below the input folder>.png`.
        save: any of "masks" (index PNG with the classes' colours; 16-bit above 256 classes), "overlays",
            "triptychs" (image | mask | overlay with a legend).
        device: as for `load`.
        progress: called with the number of images done and of all.

    Returns:
        What was written. An image that cannot be read is named there; the others are done all the same.

    Raises:
        SettingsError: an output that does not exist, or an input folder that lies in `out`.
        DataError: no images, or two that would be written to one file.
        ModelFileError: no model of ours.
        MachineError: `out` cannot be written.
    """
    for name in save:
        if name not in OUTPUTS:
            raise SettingsError(f"--save {name}: is unknown. {did_you_mean(name, OUTPUTS)}")
    out = Path(out)
    images = find_images([inputs] if isinstance(inputs, str | Path) else inputs, out)
    predictor = model if isinstance(model, Predictor) else load(model, device)
    make_folder(out)
    written: list[Path] = []
    failed: list[tuple[Path, str]] = []
    for done, (relative, path) in enumerate(images.items(), start=1):
        try:
            image = read_image(path, predictor.card.bands)
        except DataError as error:
            failed.append((path, str(error)))
        else:
            mask = predictor.predict(image)
            for name in save:
                target = out / name / relative.parent / f"{relative.name}.png"
                make_folder(target.parent)
                OUTPUTS[name](image, mask, predictor.labels, target)
            written.append(relative)
        progress(done, len(images))
    return Prediction(out, tuple(written), tuple(failed))


def find_images(inputs: Sequence[str | Path], out: Path) -> dict[Path, Path]:
    """{path of the result without suffix: image file}, in order; what lies in `out` are earlier results.

    Raises:
        SettingsError: an input folder lies in `out`, where everything counts as an earlier result.
        DataError: an input does not exist, nothing was found, or two images would have one result.
    """
    found: dict[Path, Path] = {}
    for given in map(Path, inputs):
        if given.is_dir():
            if _below(given, out):
                raise SettingsError(f"--out {out}: holds the input folder {given}. Choose one beside or below it.")
            paths = [path for path in sorted(given.rglob("*")) if _is_image(path, given) and not _below(path, out)]
            entries = {path: path.relative_to(given) for path in paths}
        elif given.exists():
            entries = {given: Path(given.name)}
        else:
            raise DataError(f"{given}: does not exist.")
        for path, relative in entries.items():
            result = relative.with_suffix("")
            if result in found and found[result] != path:
                raise DataError(
                    f"{found[result]} and {path}: both would be written as {result}.png. Predict one apart."
                )
            found[result] = path
    if not found:
        raise DataError(
            f"No images in {', '.join(map(str, inputs))}. Read are {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return found


def _is_image(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden and path.is_file()


def _below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
