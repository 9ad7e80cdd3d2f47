"""The dataset as it looks, for a page: its classes and images in numbers, and pairs side by side."""

from collections.abc import Callable, Mapping, Sequence
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
from intarsia.exhibits import SPOTS, View, doubtful, is_wide, moved, samples, small_image, troubled, twins, view
from intarsia.labels import Labels
from intarsia.pages import Markup, element, figure, join, legend, picture, prose, scroll, swatch, table

_MOST_SAMPLES = 12  # pairs
_MOST_TWINS = 6
_MOST_DOUBTFUL = 6
_MOST_TROUBLED = 12
_MOST_OF_A_KIND = 3  # of them
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
        values = listing(map(labels.written, labels.values[index]))
        parts = [_share(share[index]) for share in shares.values()]
        weight = f"{inspection.weights[index]:.2f}" if inspection.weights else "-"
        rows.append([name, values, f"{pixels[index]:,}", _share(pixels[index] / pixels.sum()), *parts, weight])
    head = ["class", "stored value", "pixels", "share", *(f"in {split}" for split in shares), "weight"]
    return join(
        table(head, rows, "Classes", texts=2),
        element("p", prose(_about_classes(inspection, labels, int(pixels.sum()))), class_="soft"),
        _histogram(labels, shares, largest),
    )


def _about_classes(inspection: Inspection, labels: Labels, pixels: int) -> str:
    sizes = [look.record.image.size for look in inspection.looks if look.usable and look.record.image]
    whole = max(sum(height * width for height, width in sizes), 1)
    ignored = f"Ignored values: {listing(map(labels.written, labels.ignore)) or 'none'}. "
    if pixels < whole:
        ignored += f"{max(1 - pixels / whole, 0.0001):.2%} of all pixels count for nothing. "
    few = f"Of {len(labels):,} classes these are the largest. " if len(labels) > _MOST_CLASSES else ""
    return (
        f"{few}{ignored}The weight is what the loss multiplies a class with, unless `loss.class_weights` says "
        "otherwise."
    )


def _share(share: float) -> str:
    if not share:
        return element("span", "none", class_="none")
    return f"{share:.2%}" if share >= 0.0001 else f"{share:.5%}"


def _histogram(labels: Labels, shares: Mapping[str, Sequence[float]], shown: Sequence[int]) -> Markup:
    """The share of each class in each split, the largest in the first split above."""
    rows = [
        Bar(labels.names[index], labels.colors[index], tuple(share[index] for share in shares.values()))
        for index in shown
    ]
    rows.sort(key=lambda row: row.shares, reverse=True)
    chart = bars(rows, list(shares), "Histogram: the share of each class in each split")
    if len(rows) > _MOST_BARS_AT_ONCE:
        return scroll(chart, "Histogram", "chart")
    return element("div", chart, class_="chart")


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
        parts = [element("p", f"{number} of {_size(min(distinct))} pixels (height by width).")]
    else:
        median = f"The median in train is {_size(inspection.size)} pixels." if any(inspection.size) else ""
        parts = [element("p", f"{number} of {len(distinct):,} sizes (height by width). {median}")]
        parts.append(element("div", scatter(sizes, "Sizes of the images in each split"), class_="chart"))
    bands = zip(inspection.mean, inspection.std, strict=True)
    rows = [[str(band), f"{mean:.5g}", f"{std:.5g}"] for band, (mean, std) in enumerate(bands, 1)][:_MOST_BANDS]
    if rows:
        kinds = " and ".join(sorted({image.dtype for _, image in seen}))
        said = f"Pixels in train ({kinds}). The model itself brings each band to mean 0 and deviation 1."
        parts += [element("p", said), table(["band", "mean", "standard deviation"], rows, "Bands")]
    return join(*parts)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]:,} \N{MULTIPLICATION SIGN} {size[1]:,}"


def scenes(inspection: Inspection) -> Markup:
    """Pairs of all splits: the image, and its mask over it."""
    labels, looks = inspection.labels, samples(inspection, _MOST_SAMPLES)
    if not looks:
        return Markup()
    if labels is None:
        said = "Images and their masks, as they are stored, from black to white."
        return join(element("p", said), _grid([_sample(look, labels) for look in looks]))
    if len(labels) > _MOST_IN_COMMON:
        said = "Images and their classes over them, those with the most pixels named."
        return join(element("p", said), _grid([_sample(look, labels, own_legend=True) for look in looks]))
    return join(_legend(labels, range(len(labels))), _grid([_sample(look, labels) for look in looks]))


def duplicates(inspection: Inspection) -> Markup:
    """Pictures that occur twice, or nearly, side by side; where their masks differ, these over them."""
    found = twins(inspection)
    if not found:
        return Markup()
    said = f"{min(_MOST_TWINS, len(found))} of {len(found):,}, some of each kind, the gravest first."
    figures = [_twins(*each, inspection.labels) for each in found[:_MOST_TWINS]]
    return join(element("p", said) if len(found) > _MOST_TWINS else "", _grid(figures))


def alignments(inspection: Inspection) -> Markup:
    """The borders of those masks over their images that lie worst on the edges, and where they would lie better."""
    found = doubtful(inspection, _MOST_DOUBTFUL)
    if not found:
        return Markup()
    said = "Borders of masks over their images, those first that lie worst on the edges."
    if not all(named for _, named in found):
        said += " Where nothing is said of a pair, it may well be right: not every border has an edge."
    return join(element("p", said), _grid([_alignment(*each, inspection.labels) for each in found]))


def masks(inspection: Inspection) -> Markup:
    """Masks whose trouble is seen best: of another size than their image, or with odd pixels."""
    found = troubled(inspection, _MOST_OF_A_KIND)[:_MOST_TROUBLED]
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
def _sample(look: Look, labels: Labels | None, *, own_legend: bool = False) -> Markup:
    seen = view(look, labels)
    mask = picture(seen.over_image, f"Mask of {_name(look)}", photo=seen.labels is not None)
    own = _legend(labels, seen.classes) if labels and own_legend else ""
    return figure([(_image(look, seen), ""), (mask, "")], _path(look), own, stacked=is_wide(seen.size))


@_or_why_not
def _twins(finding: Finding, one: Look, other: Look, labels: Labels | None) -> Markup:
    pictures = []
    for look in (one, other):
        differ = finding.id == "contradiction"
        shown = view(look, labels).over_image if differ else small_image(look.pair)[0]
        pictures.append((picture(shown, f"{'Mask' if differ else 'Image'} of {_name(look)}"), _path(look)))
    wide = one.record.image is not None and is_wide(one.record.image.size)
    return figure(pictures, element("code", finding.id), stacked=wide)


@_or_why_not
def _alignment(look: Look, named: bool, labels: Labels | None) -> Markup:
    seen = view(look, labels)
    as_is = picture(outlined(seen.image, seen.mask), f"Borders of the mask of {_name(look)}")
    if not (named and look.record.alignment):
        return figure([(_image(look, seen), ""), (as_is, "")], _path(look), stacked=is_wide(seen.size))
    where = better_place(look.record.alignment)
    better = outlined(seen.image, moved(seen.mask, look.record.alignment))
    pictures = [(as_is, "as it is"), (picture(better, f"The same borders, {where}"), where)]
    return figure(pictures, _path(look), " ", element("code", "misaligned"), stacked=is_wide(seen.size))


@_or_why_not
def _trouble(finding: Finding, look: Look, labels: Labels | None) -> Markup:
    seen = view(look, labels, finding.id)
    image = _image(look, seen)
    if seen.spots is not None:
        spots = picture(seen.explained, f"{SPOTS[finding.id]} in {_name(look)}")
        pictures = [(image, ""), (spots, f"{SPOTS[finding.id]}, enlarged")]
    else:
        mask = picture(seen.colored, f"Mask of {_name(look)}", photo=False)
        pictures = [(image, f"image, {_size(seen.size)}"), (mask, f"mask, {_size(seen.mask_size)}")]
    return figure(pictures, _path(look), " ", element("code", finding.id), stacked=is_wide(seen.size))


def _image(look: Look, seen: View) -> Markup:
    return picture(seen.image, f"Image of {_name(look)}")


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
