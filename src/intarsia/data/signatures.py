"""What a file holds by its first bytes, whatever its name says."""

from pathlib import Path

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_SIGNATURES: dict[str, tuple[set[str], bytes | tuple[bytes, ...]]] = {
    "PNG": ({".png"}, b"\x89PNG"),
    "JPEG": ({".jpg", ".jpeg"}, b"\xff\xd8\xff"),
    "TIFF": ({".tif", ".tiff"}, TIFF_STARTS),
    "GIF": ({".gif"}, b"GIF8"),
    "BMP": ({".bmp"}, b"BM"),
    "WebP": ({".webp"}, b"RIFF"),
}


def named_otherwise(path: Path) -> str:
    """What a picture's file holds where its suffix says something else, such as `JPEG`; an empty text otherwise."""
    with path.open("rb") as file:
        start = file.read(12)
    for kind, (suffixes, beginnings) in _SIGNATURES.items():
        if start.startswith(beginnings) and (kind != "WebP" or start[8:] == b"WEBP"):
            return "" if path.suffix.lower() in suffixes else kind
    return ""


def what_it_is(path: Path) -> str:
    """In words, by its beginning, what a file is that is no picture."""
    start = path.read_bytes()[:512]
    if not start:
        return "the file is empty"
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "it holds a web page (HTML); the download went wrong"
    if text.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; run `git lfs pull`"
    return f"it starts with the bytes {start[:8].hex(' ')}"
