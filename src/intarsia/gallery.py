"""The dataset as it looks, for a page: its classes and images in numbers, and pairs side by side."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import ParamSpec

import numpy as np

from intarsia.charts import Bar, bars, scatter
from intarsia.data.check.findings import Finding
from intarsia.data.check.inspection import Inspection
from intarsia.data.check.looks import Look
from intarsia.data.check.placement import better_place
from intarsia.draw import outlined
from intarsia.errors import DataError, counted, listing
from intarsia.exhibits import View, doubtful, moved, samples, troubled, twins, view
from intarsia.labels import Labels
from intarsia.pages import Markup, element, figure, join, legend, picture, prose, scroll, swatch, table

_MOST_SAMPLES = 12  # pairs
_MOST_TWINS = 6
_MOST_DOUBTFUL = 6
_MOST_TROUBLED = 8
_MOST_CLASSES = 500  # rows of the table
_MOST_BANDS = 100
_MOST_BARS_AT_ONCE = 40  # more scroll
_MOST_IN_COMMON = 16  # classes with one legend for all samples; with more, each sample has its own

_Given = ParamSpec("_Given")


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
        *(
            element("p", prose(line), class_="soft")
            for line in _about_classes(inspection, labels, int(pixels.sum()))
        ),
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
    distinct = {image.size for _, image in seen}
    number = counted(len(seen), "image")
    if len(distinct) == 1:
        parts = [element("p", f"{number} of {_size(min(distinct))} pixels (height × width).")]
    else:
        median = f"The median in train is {_size(inspection.size)} pixels." if any(inspection.size) else ""
        parts = [element("p", f"{number} of {len(distinct):,} sizes (height × width). {median}")]
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
    looks = samples(inspection, _MOST_SAMPLES)
    if inspection.labels is None or len(inspection.labels) > _MOST_IN_COMMON:
        return _grid([_sample(look, inspection.labels, own_legend=True) for look in looks])
    figures = _grid([_sample(look, inspection.labels, own_legend=False) for look in looks])
    return join(_legend(inspection.labels, range(len(inspection.labels))), figures) if looks else Markup()


def duplicates(inspection: Inspection) -> Markup:
    """Pictures that occur twice, or nearly, side by side; where their masks differ, these over them."""
    found = twins(inspection, _MOST_TWINS)
    return _grid([_twins(*each, inspection.labels) for each in found])


def alignments(inspection: Inspection) -> Markup:
    """The borders of those masks over their images that lie worst on the edges, and where they would lie better."""
    found = doubtful(inspection, _MOST_DOUBTFUL)
    if not found:
        return Markup()
    said = "Borders of masks over their images, those first that lie worst on the edges. "
    others = "" if all(named for _, named in found) else "Where nothing is said of a pair, it may well be right."
    return join(element("p", said + others), _grid([_alignment(*each, inspection.labels) for each in found]))


def masks(inspection: Inspection) -> Markup:
    """Masks whose trouble is seen best: of another size than their image, or with odd pixels."""
    found = troubled(inspection, _MOST_TROUBLED)
    return _grid([_trouble(*each, inspection.labels) for each in found])


def _or_why_not(make: Callable[_Given, Markup]) -> Callable[_Given, Markup]:
    """A figure of files that cannot be opened any more is a word about them."""

    @wraps(make)
    def made(*args: _Given.args, **named: _Given.kwargs) -> Markup:
        try:
            return make(*args, **named)
        except DataError as error:
            return element("p", f"Left out here: {error}", class_="skipped")

    return made


@_or_why_not
def _sample(look: Look, labels: Labels | None, *, own_legend: bool) -> Markup:
    seen = view(look, labels)
    said = "classes" if seen.labels else "mask, as it is stored"
    own = _legend(seen.labels, seen.classes) if seen.labels and own_legend else Markup()
    return figure(
        [_image(look, seen), (picture(seen.over_image, f"Mask of {_name(look)}"), said)], _path(look), own
    )


@_or_why_not
def _twins(finding: Finding, one: Look, other: Look, labels: Labels | None) -> Markup:
    pictures = []
    for look in (one, other):
        seen = view(look, labels)
        shown = seen.over_image if finding.id == "contradiction" else seen.image
        pictures.append((picture(shown, f"Image of {_name(look)}"), _path(look)))
    return figure(pictures, element("code", finding.id))


@_or_why_not
def _alignment(look: Look, named: bool, labels: Labels | None) -> Markup:
    seen = view(look, labels)
    as_is = picture(outlined(seen.image, seen.mask), f"Borders of the mask of {_name(look)}")
    if not (named and look.record.alignment):
        return figure([_image(look, seen), (as_is, "the mask's borders")], _path(look))
    better = outlined(seen.image, moved(seen.mask, look.record.alignment))
    where = better_place(look.record.alignment)
    pictures = [(as_is, "as it is"), (picture(better, f"The same borders, {where}"), where)]
    return figure(pictures, _path(look), " ", element("code", "misaligned"))


@_or_why_not
def _trouble(finding: Finding, look: Look, labels: Labels | None) -> Markup:
    seen = view(look, labels, finding.id)
    if seen.spots is not None:
        pictures = [_image(look, seen), (picture(seen.explained, f"Spots in {_name(look)}"), "where")]
    else:
        mask = picture(seen.colored, f"Mask of {_name(look)}", photo=False)
        image, said = _image(look, seen)
        pictures = [(image, f"{said}, {_size(seen.size)}"), (mask, f"mask, {_size(seen.mask_size)}")]
    return figure(pictures, _path(look), " ", element("code", finding.id))


def _image(look: Look, seen: View) -> tuple[Markup, str]:
    return picture(seen.image, f"Image of {_name(look)}"), "image"


def _name(look: Look) -> str:
    return f"{look.split}/{look.pair.name}"


def _path(look: Look) -> Markup:
    return element("span", _name(look), class_="path")


def _legend(labels: Labels, shown: Sequence[int]) -> Markup:
    """Names and colours of classes, of many only the first."""
    entries = [(labels.names[index], labels.colors[index]) for index in shown[:_MOST_IN_COMMON]]
    more = len(shown) - len(entries)
    return legend(entries, *([f"and {more} more"] if more else []))


def _grid(figures: Sequence[Markup]) -> Markup:
    return element("div", *figures, class_="figures") if figures else Markup()
