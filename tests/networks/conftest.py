"""Checkpoints for the tests of networks, each written once."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `zoo.settings_of` writes checkpoints of transformers as they are asked for."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in these tests may reach for the hub."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
