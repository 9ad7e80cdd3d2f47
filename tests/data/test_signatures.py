"""What files hold, whatever their names say."""

import numpy as np
import pytest
from PIL import Image

from intarsia.data.signatures import named_otherwise


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WebP"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "tif", "tiff", "gif", "bmp", "webp", "PNG"])
def test_files_that_are_named_otherwise(tmp_path, kind, suffix):
    path = tmp_path / f"image.{suffix}"
    with path.open("wb") as file:
        Image.fromarray(np.full((6, 9, 3), 99, np.uint8)).save(file, kind)
    own = {"PNG": ["png"], "JPEG": ["jpg", "jpeg"], "TIFF": ["tif", "tiff"]}.get(kind, [kind.lower()])
    assert named_otherwise(path) == ("" if suffix.lower() in own else kind)


def test_nothing_is_said_of_what_is_no_picture(tmp_path):
    (tmp_path / "sound.png").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    assert named_otherwise(tmp_path / "sound.png") == ""
