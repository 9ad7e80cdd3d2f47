"""A script as it is submitted to a cluster: several jobs, and what became of them, as JSON in HOME/told.json."""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import ray
import ray.data
import torch

import intarsia
from intarsia import raydata
from intarsia.errors import IntarsiaError

SAVE = ("masks", "areas")


def told(job: Callable[[], intarsia.Prediction]) -> dict[str, object]:
    """What a job returns or raises, in plain words."""
    try:
        done = job()
    except IntarsiaError as error:
        return {"error": type(error).__name__, "code": error.exit_code, "words": str(error)}
    return {
        "written": list(map(str, done.written)),
        "finished": list(map(str, done.finished)),
        "failed": [(str(path), words) for path, words in done.failed],
        "notes": list(done.notes),
    }


def both_nodes() -> None:
    """Waits for them, and lets no job begin before a worker is ready on each."""
    ray.data.DataContext.get_current().wait_for_min_actors_s = 60
    with raydata._connected(ray, None):
        while len(ray.nodes()) < 2:
            time.sleep(0.1)


def main(home: Path) -> None:
    torch.set_num_threads(1)
    model, photos, out = home / "model.safetensors", home / "photos", home / "out"
    job = partial(intarsia.predict_on_ray, save=SAVE)
    answers = {"alone": told(partial(intarsia.predict, model, photos, home / "alone", save=SAVE, device="cpu"))}
    both_nodes()
    answers["shared"] = told(partial(job, model, photos, out))
    (photos / "damaged.png").unlink()
    answers["again"] = told(partial(job, model, photos, out))
    answers["unknown option"] = told(partial(job, model, photos, out, {"tiles": 4}))
    answers["other options"] = told(partial(job, model, photos, out, {"min_area": 9}))
    answers["other model"] = told(partial(job, home / "other.safetensors", photos, out))
    answers["no GPU"] = told(partial(job, model, photos, home / "gpu", gpus=1))
    (out / "masks" / "03.png").unlink()
    with mock.patch.object(raydata, "load", lambda path, device: intarsia.load(home / "other.safetensors", device)):
        answers["model changed"] = told(partial(job, model, photos, home / "changed"))
    ray.init()  # a caller's own connection, by RAY_ADDRESS, stays
    with mock.patch.object(raydata, "begin"):
        answers["out unseen"] = told(partial(job, model, photos, home / "unseen"))
    answers["one lost"] = told(partial(job, model, photos, out))
    assert ray.is_initialized()
    (home / "told.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
