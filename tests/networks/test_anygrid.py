"""Position embeddings on other grids: rows stay rows, columns stay columns, the old square is untouched."""

from pathlib import Path

import pytest
import torch

from intarsia.networks.anygrid import resized
from tests.networks.zoo import card_of, segmenter_of, settings_of


def test_a_grid_of_the_same_size_is_untouched() -> None:
    positions = torch.randn(16, 5)
    assert resized(positions, 4, 4).equal(positions[None])


@pytest.mark.parametrize(("rows", "columns"), [(3, 7), (8, 4), (1, 1)])
def test_what_depends_on_the_column_alone_still_does(rows: int, columns: int) -> None:
    grid = torch.arange(4.0).expand(4, 4).reshape(16, 1)
    grown = resized(grid, rows, columns).reshape(rows, columns)
    assert torch.allclose(grown, grown[:1].expand_as(grown), atol=1e-6)
    assert (grown[0].diff() > 0).all()


@pytest.mark.parametrize("family", ["dpt", "eomt"])
@pytest.mark.parametrize("size", [(64, 128), (128, 64), (96, 160)])
def test_patches_land_where_they_came_from(family: str, size: tuple[int, int], checkpoints: Path) -> None:
    """Changing the picture in one corner changes the logits there more than in the corner across."""
    segmenter = segmenter_of(card_of(settings_of(f"hf:{family}", checkpoints), 3)).eval()
    image = torch.full((1, 3, *size), 100, dtype=torch.uint8)
    changed = image.clone()
    changed[..., -16:, :16] = 250  # below on the left
    with torch.no_grad():
        difference = (segmenter(image) - segmenter(changed)).abs().sum(1)[0]
    assert difference[-16:, :16].mean() > 1.5 * difference[:16, -16:].mean()
    assert difference[-16:, :16].mean() > 1.5 * difference[-16:, -16:].mean()
    assert difference[-16:, :16].mean() > 1.5 * difference[:16, :16].mean()
