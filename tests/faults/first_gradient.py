"""Trains until the first gradient, writes it and ends."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from intarsia.training import train


def main(photos: str, out: str, settings: str) -> None:
    folder = Path(out)
    clip = torch.nn.utils.clip_grad_norm_

    def write_and_end(parameters: Any, *arguments: Any) -> Any:
        learned = list(parameters)
        clip(learned, *arguments)
        torch.save([_whole(parameter.grad) for parameter in learned], folder / f"{os.environ.get('RANK', '0')}.pt")
        if dist.is_initialized():
            dist.barrier()
        os._exit(0)  # a training that is left in the middle has threads that may abort the end of Python

    torch.nn.utils.clip_grad_norm_ = write_and_end
    train(photos, folder / "run", json.loads(settings))


def _whole(gradient: Any) -> torch.Tensor:
    return gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient


if __name__ == "__main__":
    main(*sys.argv[1:])
