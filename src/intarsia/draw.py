"""Pictures for people: colour masks, overlays, panels with a legend, contact sheets, curves.

Images are [H, W, 3] uint8 RGB, masks [H, W] of class indices. `rgb` turns any image into one that can be shown.
"""

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from intarsia.files import write_whole
from intarsia.labels import Color, Labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = NDArray[np.uint8]

IGNORED_COLOR: Color = (236, 236, 236)
BORDER_COLOR: Color = (255, 232, 64)
MARK_COLOR: Color = (214, 0, 110)
_PAPER: Color = (255, 255, 255)
_INK: Color = (38, 42, 48)
_GAP = 8
_CAPTION = 22
_TEXT = 14


def rgb(image: NDArray[Any], known: NDArray[np.bool_] | None = None) -> Picture:
    """[H, W, bands] of any dtype -> [H, W, 3] uint8: the first three bands, or grey; stretched where not 8-bit.

    Args:
        image: raw values; what is no number becomes black.
        known: [H, W] the pixels whose values are stretched over the range; None for all.
    """
    shown = image[:, :, :3] if image.shape[2] >= 3 else np.repeat(image[:, :, :1], 3, axis=2)
    if shown.dtype == np.uint8:
        return np.ascontiguousarray(shown)
    counted = shown if known is None else shown[known]
    counted = counted[np.isfinite(counted)]
    low, high = np.percentile(counted, (1, 99)) if counted.size else (0, 1)
    stretched = np.clip((shown - low) / max(high - low, 1e-12), 0, 1) * 255
    return np.asarray(np.nan_to_num(stretched).round(), dtype=np.uint8)


def color_mask(mask: NDArray[Any], labels: Labels) -> Picture:
    """Every pixel in the colour of its class; ignored ones in light grey."""
    table = np.empty((labels.ignore_index + 1, 3), dtype=np.uint8)
    table[:] = IGNORED_COLOR
    table[: len(labels)] = labels.colors
    picture: Picture = table[mask]
    return picture


def overlay(image: NDArray[Any], mask: NDArray[Any], labels: Labels, opacity: float = 0.5) -> Picture:
    """The image, tinted by class; ignored pixels keep the image as it is."""
    base = rgb(image)
    tinted = cv2.addWeighted(base, 1 - opacity, color_mask(mask, labels), opacity, 0)
    tinted[mask == labels.ignore_index] = base[mask == labels.ignore_index]
    return tinted.astype(np.uint8)


def outlined(image: NDArray[Any], mask: NDArray[Any]) -> Picture:
    """The image with the borders between a mask's regions drawn over it: bright, with a dark rim."""
    border = np.zeros(mask.shape, dtype=np.uint8)
    border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    border[1:] |= mask[1:] != mask[:-1]
    drawn = rgb(image).copy()
    rim = cv2.dilate(border, np.ones((3, 3), np.uint8)) > 0
    drawn[rim] //= 2
    drawn[border > 0] = BORDER_COLOR
    return drawn


def marked(image: NDArray[Any], chosen: NDArray[np.bool_]) -> Picture:
    """The image faded to grey, with the chosen pixels [H, W] in a glaring colour, a little enlarged."""
    grey = cv2.cvtColor(rgb(image), cv2.COLOR_RGB2GRAY)
    drawn: Picture = np.repeat((grey // 2 + 96).astype(np.uint8)[:, :, None], 3, axis=2)
    drawn[cv2.dilate(chosen.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0] = MARK_COLOR
    return drawn


def triptych(image: NDArray[Any], mask: NDArray[Any], labels: Labels, side: int = 640) -> Picture:
    """Image | mask | overlay side by side, with a legend of the classes that occur."""
    pictures = {"image": rgb(image), "mask": color_mask(mask, labels), "overlay": overlay(image, mask, labels)}
    return panel([pictures], labels, side=side, shown=np.unique(mask))


def panel(
    rows: Sequence[Mapping[str, Picture]], labels: Labels, side: int = 320, shown: NDArray[Any] | None = None
) -> Picture:
    """Rows of captioned pictures above a legend.

    Args:
        rows: in each, pictures by caption; all rows have the same captions, which stand above the first.
        labels: for the legend.
        side: the longer side of each picture in pixels; smaller pictures are enlarged (nearest) to half of it.
        shown: class indices in the legend; None for all classes.
    """
    resized = [[_fit(picture, side) for picture in row.values()] for row in rows]
    widths = [
        max(_text_width(caption), *(row[column].shape[1] for row in resized))
        for column, caption in enumerate(rows[0])
    ]
    heights = [max(picture.shape[0] for picture in row) for row in resized]
    width = sum(widths) + _GAP * (len(widths) + 1)
    entries = _legend_entries(labels, shown)
    legend, legend_height = _legend_places(entries, width)
    sheet = Image.new("RGB", (width, _CAPTION + sum(heights) + _GAP * (len(heights) + 1) + legend_height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    lefts = [_GAP + sum(widths[:column]) + _GAP * column for column in range(len(widths))]
    for left, caption in zip(lefts, rows[0], strict=True):
        pen.text((left, 5), caption, fill=_INK, font=_font())
    top = _CAPTION + _GAP // 2
    for row, height in zip(resized, heights, strict=True):
        for left, picture in zip(lefts, row, strict=True):
            sheet.paste(Image.fromarray(picture), (left, top))
        top += height + _GAP
    for (name, color), (x, y) in zip(entries, legend, strict=True):
        pen.rectangle((x, top + y, x + 13, top + y + 13), fill=color, outline=_INK)
        pen.text((x + 20, top + y - 2), name, fill=_INK, font=_font())
    return np.asarray(sheet)


def contact_sheet(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]], labels: Labels, columns: int = 4) -> Picture:
    """Pairs as the network sees them: image and overlay, `columns` pairs in a row."""
    rows = []
    for start in range(0, len(pairs), columns):
        row: dict[str, Picture] = {}
        for place in range(columns):
            image, mask = pairs[(start + place) % len(pairs)]
            row[f"image {' ' * place}"] = rgb(image)
            row[f"with its mask{' ' * place}"] = overlay(image, mask, labels)
        rows.append(row)
    return panel(rows, labels, side=180)


def curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws loss, learning rate and validation mIoU over the steps from the lines of metrics.jsonl."""
    from matplotlib.figure import Figure  # half a second to import

    steps = [line for line in history if line["kind"] == "train"]
    validations = [line for line in history if line["kind"] == "val"]
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    loss, score, rate = figure.subplots(1, 3)
    loss.plot([line["step"] for line in steps], [line["loss"] for line in steps], color="#00729c")
    loss.set(title="training loss", xlabel="step")
    score.plot(
        [line["step"] for line in validations], [line["miou"] for line in validations], "o-", color="#c25b00"
    )
    score.set(title="validation mIoU", xlabel="step", ylim=(0, 1))
    rate.plot([line["step"] for line in steps], [line["lr"] for line in steps], color="#5a5a5a")
    rate.set(title="learning rate", xlabel="step")
    for axes in (loss, score, rate):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    _write_figure(figure, path)


def loss_over_rate(rates: Sequence[float], losses: Sequence[float], suggested: float, path: Path) -> None:
    """Draws the smoothed loss over the learning rate, with the suggested one marked."""
    from matplotlib.figure import Figure  # half a second to import

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color="#00729c")
    axes.axvline(suggested, color="#c25b00", linestyle="--", linewidth=1)
    axes.plot([suggested], [losses[list(rates).index(suggested)]], "o", color="#c25b00")
    axes.annotate(
        f"suggested: {suggested:.2g}",
        (suggested, max(losses)),
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        va="top",
        color="#c25b00",
    )
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed", title="Where the loss falls")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    _write_figure(figure, path)


def _write_figure(figure: "Figure", path: Path) -> None:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_whole(path, buffer.getvalue())


def write_picture(picture: Picture, path: Path) -> None:
    """Writes an RGB picture as PNG.

    Raises:
        MachineError: the disk is full or read-only; nothing partial is left behind.
    """
    _write_png(Image.fromarray(picture), path)


def write_mask(mask: NDArray[Any], labels: Labels, path: Path) -> None:
    """Writes class indices [H, W] as an index PNG with the classes' colours; 16-bit grey above 255 classes."""
    picture = Image.fromarray(mask.astype(labels.mask_dtype))
    if labels.mask_dtype is np.uint8:
        picture.putpalette(palette(labels).tobytes())
    _write_png(picture, path)


def palette(labels: Labels) -> Picture:
    """[256, 3] the colours of 8-bit index pictures; whatever is no class is light grey."""
    colors = np.full((256, 3), IGNORED_COLOR, dtype=np.uint8)
    colors[: len(labels)] = labels.colors
    return colors


def _write_png(picture: Image.Image, path: Path) -> None:
    buffer = BytesIO()
    picture.save(buffer, format="PNG", compress_level=3)
    write_whole(path, buffer.getvalue())


def _fit(picture: Picture, side: int) -> Picture:
    """Shrinks to `side`, or enlarges very small pictures so that their pixels can be seen."""
    longest = max(picture.shape[:2])
    if side // 2 <= longest <= side:
        return picture
    scale = side / longest if longest > side else max(1, side // 2 // longest)
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return cv2.resize(picture, size, interpolation=interpolation).astype(np.uint8)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_TEXT)


def _text_width(text: str) -> int:
    return math.ceil(_font().getlength(text))


def _legend_entries(labels: Labels, shown: NDArray[Any] | None) -> list[tuple[str, Color]]:
    indices = range(len(labels)) if shown is None else [int(index) for index in shown]
    return [
        (labels.names[index], labels.colors[index]) if index < len(labels) else ("ignored", IGNORED_COLOR)
        for index in indices
    ]


def _legend_places(entries: Sequence[tuple[str, Color]], width: int) -> tuple[list[tuple[int, int]], int]:
    """Where each entry stands, line by line, and the height of the whole."""
    places: list[tuple[int, int]] = []
    x, y = _GAP, 0
    for name, _ in entries:
        needed = 20 + _text_width(name) + 18
        if x + needed > width and x > _GAP:
            x, y = _GAP, y + _CAPTION
        places.append((x, y))
        x += needed
    return places, y + _CAPTION
