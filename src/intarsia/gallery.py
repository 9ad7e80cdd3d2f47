"""The dataset as it looks, for a page: its classes and images in numbers, and pairs side by side."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from intarsia.charts import Bar, bars, scatter
from intarsia.data.check.findings import KINDS, Finding
from intarsia.data.check.inspection import Inspection
from intarsia.data.check.looks import Look
from intarsia.data.check.placement import better_place
from intarsia.draw import IGNORED_COLOR, outlined
from intarsia.errors import DataError, counted, listing
from intarsia.exhibits import View, doubtful, moved, samples, troubled, twins, view
from intarsia.labels import Color, Labels
from intarsia.pages import Markup, element, figure, join, legend, picture, prose, scroll, swatch, table

_MOST_SAMPLES = 12
_MOST_TWINS = 6
_MOST_DOUBTFUL = 6
_MOST_TROUBLED = 8
_MOST_CLASSES = 500  # rows of the table
_MOST_BANDS = 100
_MOST_BARS_AT_ONCE = 40  # more scroll
_MOST_IN_COMMON = 16  # classes with one legend for all samples; with more, each sample has its own
_MOST_IN_OWN = 10


def classes(inspection: Inspection) -> Markup:
    """The classes: a table and a histogram of their pixels."""
    labels = inspection.labels
    counts = {split: count for split, count in inspection.counts.items() if count.any()}
    if labels is None or not counts:
        return Markup()
    pixels = np.sum(list(counts.values()), axis=0)
    shares = {split: (count / count.sum()).tolist() for split, count in counts.items()}
    largest = np.argsort(-pixels, kind="stable")[:_MOST_CLASSES].tolist()
    rows = []
    for index in sorted(largest):
        name = join(swatch(labels.colors[index]), element("bdi", labels.names[index]))
        values = ", ".join(map(labels.written, labels.values[index]))
        parts = [_share(share[index]) for share in shares.values()]
        weight = f"{inspection.weights[index]:.2f}" if inspection.weights else "–"
        rows.append([name, values, f"{pixels[index]:,}", _share(pixels[index] / pixels.sum()), *parts, weight])
    head = ["class", "stored value", "pixels", "share", *(f"in {split}" for split in shares), "weight"]
    drawn = [
        Bar(labels.names[index], labels.colors[index], tuple(share[index] for share in shares.values()))
        for index in largest
    ]
    chart = bars(drawn, list(shares), "Histogram: the share of each class in each split")
    long = len(drawn) > _MOST_BARS_AT_ONCE
    return join(
        table(head, rows, "Classes", texts=2),
        *(element("p", prose(line), class_="soft") for line in _about_classes(inspection, labels, int(pixels.sum()))),
        scroll(chart, "Histogram", "chart") if long else element("div", chart, class_="chart"),
    )


def _about_classes(inspection: Inspection, labels: Labels, pixels: int) -> Iterator[str]:
    if len(labels) > _MOST_CLASSES:
        yield f"The {_MOST_CLASSES} classes with the most pixels, of {len(labels):,}."
    sizes = [look.record.image.size for look in inspection.looks if look.usable and look.record.image]
    whole = max(sum(height * width for height, width in sizes), 1)
    yield (
        f"Ignored values: {listing(map(labels.written, labels.ignore)) or 'none'}. "
        f"{max(1 - pixels / whole, 0):.2%} of all pixels count for nothing. "
        "The weight is what the loss multiplies a class with, unless `loss.class_weights` says otherwise."
    )


def _share(share: float) -> Markup | str:
    if not share:
        return element("span", "none", class_="none")
    return f"{share:.2%}" if share >= 0.0001 else f"{share:.5%}"


def images(inspection: Inspection) -> Markup:
    """The images: their sizes, their bands, and the numbers by which the model normalises them."""
    seen = [(look.split, look.record.image) for look in inspection.looks if look.record.image is not None]
    if not seen:
        return Markup()
    sizes: dict[str, list[tuple[int, int]]] = {}
    for split, image in seen:
        sizes.setdefault(split, []).append(image.size)
    distinct = sorted({image.size for _, image in seen})
    if len(distinct) == 1:
        said = f"{counted(len(seen), 'image')} of {_size(distinct[0])} pixels (height × width)"
    else:
        said = f"{counted(len(seen), 'image')} of {len(distinct):,} sizes"
        said += f"; the median in train is {_size(inspection.size)} pixels (height × width)" if any(inspection.size) else ""
    parts = [element("p", f"{said}.")]
    if len(distinct) > 1:
        parts.append(element("div", scatter(sizes, "Sizes of the images in each split"), class_="chart"))
    bands = zip(inspection.mean, inspection.std, strict=True)
    rows = [[str(band), f"{mean:.5g}", f"{std:.5g}"] for band, (mean, std) in enumerate(bands, 1)][:_MOST_BANDS]
    if rows:
        kinds = " and ".join(sorted({image.dtype for _, image in seen}))
        said = f"Over all pixels in train, as {kinds}; the model itself brings each band to mean 0 and deviation 1."
        parts += [element("p", said), table(["band", "mean", "standard deviation"], rows, "Bands")]
    return join(*parts)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]:,} × {size[1]:,}"


def scenes(inspection: Inspection) -> Markup:
    """Pairs of all splits: the image, and its mask over it."""
    labels = inspection.labels
    in_common = labels is not None and len(labels) <= _MOST_IN_COMMON
    shown: set[int] = set()

    def one(look: Look) -> Markup:
        seen = view(look.pair, labels)
        shown.update(seen.classes)
        over = "its classes" if labels is not None else "its mask, as stored"
        own = Markup() if labels is None or in_common else _legend(labels, seen.classes)
        return figure(_side_by_side(look, seen, over, seen.over_image), _name(look), own)

    figures = [_or_a_word(look, one) for look in samples(inspection, _MOST_SAMPLES)]
    if not figures:
        return Markup()
    common = _legend(labels, sorted(shown)) if labels is not None and in_common else Markup()
    return join(common, _grid(figures))
