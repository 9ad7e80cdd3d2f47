"""Predicting on a Ray cluster: what `predict` does, with the chunks of the list dealt to workers by Ray Data.

Pictures, model and results lie on a file system that all workers see; what travels through Ray is paths.
"""

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from intarsia import errors
from intarsia.errors import IntarsiaError, MachineError, SettingsError, first_line
from intarsia.extras import needed
from intarsia.loading import load
from intarsia.options import PredictOptions
from intarsia.pipeline.flow import Outcome
from intarsia.pipeline.jobs import Job, chunks_of, portions
from intarsia.pipeline.records import Records, Stamp
from intarsia.prediction import MANIFEST, Prediction, Task, begin, checked, do, ended, jobs_of, known, tidy

_EACH = 8  # parcels for each worker, so that all end at about the same time
_MOST_CHUNKS = 16  # of a parcel: within one, reading and writing go on beside the network

Done = tuple[Outcome, list[Path]]
"""What `prediction.do` returns."""


def predict_on_ray(  # noqa: PLR0913 - those of predict, and what a worker is
    model: str | Path,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    options: Mapping[str, Any] | PredictOptions | None = None,
    *,
    save: Sequence[str] = ("masks",),
    workers: int | None = None,
    cpus: int = 1,
    gpus: float = 0,
    address: str | None = None,
) -> Prediction:
    """Predicts images as `predict` does, shared among the workers of a Ray cluster.

    Model, images and `out` must be at the same paths for this process and all workers: a network file system. A
    worker that cannot see an image reports it as failed; one that cannot see `out` or sees another model ends the
    job. On CPUs the files are those of `predict`, to the byte, where it computes with as many threads.

    Args:
        model: a run folder, a model file, or a folder of runs.
        inputs: as for `predict`.
        out: as for `predict`.
        options: how; see `PredictOptions`.
        save: names of outputs; see `outputs`.
        workers: how many; None for as many as there is room for in the cluster now. More than that wait for
            room, as it comes where a cluster grows.
        cpus: of each worker, which computes with as many threads.
        gpus: of each worker; it computes on a GPU where this is not 0, of which it may be a part.
        address: of the cluster, as `ray.init` takes it; None for the one that this process is connected to, or
            that RAY_ADDRESS names, as in a submitted job; where there is neither, Ray is started on this machine,
            and ended again.

    Returns:
        As `predict`.

    Raises:
        SettingsError: as `predict`; no room in the cluster for a worker.
        DataError: no images, or two that would be written to one file.
        ModelFileError: no model of ours.
        MachineError: as `predict`; Ray is not installed; no cluster there; a worker does not see `out`, or sees
            another model.
    """
    ray = needed("ray", "ray")
    needed("ray.data", "ray")
    chosen, names = checked(options, save)
    if min(cpus, 1 if workers is None else workers) < 1 or gpus < 0:
        raise SettingsError(
            f"workers={workers}, cpus={cpus}, gpus={gpus}: at least one worker, of at least one CPU."
        )
    folder, number, of = Path(out), *chosen.shard
    jobs = jobs_of(inputs, folder)
    errand = Errand(Path(model).absolute(), folder.absolute(), names, chosen, "cuda" if gpus else "cpu", cpus)
    predictor = load(errand.model, "cpu")  # only looked at
    plan = predictor.plan(chosen.model_copy(update={"compile": False}))
    task = Task(folder, names, jobs, plan, Records(folder))
    begin(task, predictor, alone=of == 1)
    chunks = chunks_of(jobs)[number - 1 :: of]
    there = task.finished({job: Stamp.of(job.path) for chunk in chunks for job in chunk})
    waiting = [chunk for chunk in chunks if not there.keys() >= set(chunk)]
    for job in (job for chunk in waiting for job in chunk):
        there.pop(job, None)  # whoever does the others of its chunk tells of it
    outcome = Outcome()
    everyone: list[Done] = [(outcome, known(there, outcome))]
    if waiting:
        with _connected(ray, address):
            size = min(workers or _room(ray, cpus, gpus), len(waiting))
            dealt = _dealt(waiting, size)
            answers = ray.data.from_items(dealt, override_num_blocks=len(dealt)).map_batches(
                Worker,
                fn_constructor_args=(errand,),
                batch_size=1,
                batch_format="numpy",
                compute=ray.data.ActorPoolStrategy(size=size),
                num_cpus=cpus,
                num_gpus=gpus or None,
            )
            own = {str(job.path.absolute()): job.path for job in jobs}
            everyone += [_told(answer, own) for answer in [row["answer"] for row in answers.iter_rows()]]
            if of == 1:
                tidy(folder)  # Ray gives the parcels of a worker that was killed to another one
    return ended(task, everyone, task.summarised())


@dataclass(frozen=True)
class Errand:
    """What every worker is told; all paths are absolute.

    Attributes:
        model: to load.
        out: the folder of the results, where the manifest is.
        save: names of outputs.
        options: of the prediction.
        device: to predict on.
        threads: of torch.
    """

    model: Path
    out: Path
    save: tuple[str, ...]
    options: PredictOptions
    device: str
    threads: int


class Worker:
    """A process of the cluster: loads the model once, and predicts the parcels that come.

    An error of ours is an answer too, so that it arrives as what it is. Whoever met one does nothing any more: it
    answers the same to all that comes, and the job soon ends.

    Args:
        errand: what to do with them.
    """

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._failure: str | None = None

    def __call__(self, parcels: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
        """Answers to parcels, as `_told` reads them."""
        return {"answer": [self._answer(parcel) for parcel in parcels["parcel"]]}

    def _answer(self, parcel: str) -> str:
        if self._failure:
            return self._failure
        chunks = [[Job(Path(relative), Path(path)) for relative, path in chunk] for chunk in json.loads(parcel)]
        try:
            outcome, finished = do(self._task, chunks)
        except IntarsiaError as error:
            words = f"On {socket.gethostname()}: {error}"
            self._failure = json.dumps({"error": type(error).__name__, "words": words})
            return self._failure
        answer = {
            "written": list(map(str, outcome.written)),
            "failed": [(str(path), words) for path, words in outcome.failed],
            "notes": outcome.notes,
            "finished": list(map(str, finished)),
        }
        return json.dumps(answer)

    @cached_property
    def _task(self) -> Task:
        errand = self._errand
        torch.set_num_threads(errand.threads)
        if not (errand.out / MANIFEST).exists():
            raise MachineError(
                f"{errand.out}: does not hold the {MANIFEST} that the job has just written there. Choose a folder "
                "on a file system that all workers see."
            )
        predictor = load(errand.model, errand.device)
        task = Task(errand.out, errand.save, (), predictor.plan(errand.options), Records(errand.out))
        try:
            begin(task, predictor, alone=False)
        except SettingsError as error:
            raise MachineError(
                f"{errand.model}: is not what it was where the job was started ({error}). Give a model on a file "
                "system that all workers see, and that nobody is training."
            ) from None
        return task.within(task.agreed())


def _dealt(chunks: Sequence[Sequence[Job]], workers: int) -> list[dict[str, str]]:
    """Parcels of chunks, as rows. JSON, as Arrow knows neither paths nor file names that are no text."""
    most = min(max(len(chunks) // (_EACH * workers), 1), _MOST_CHUNKS)
    plain = [[(str(job.relative), str(job.path.absolute())) for job in chunk] for chunk in chunks]
    return [{"parcel": json.dumps(parcel)} for parcel in portions(plain, most)]


def _told(answer: str, own: Mapping[str, Path]) -> Done:
    """A worker's answer; pictures get the paths back that the user gave.

    Raises:
        IntarsiaError: the one that stopped the worker.
    """
    told = json.loads(answer)
    if "error" in told:
        kind: type[IntarsiaError] = getattr(errors, told["error"])
        raise kind(told["words"])
    failed = [(own[path], words) for path, words in told["failed"]]
    return Outcome(list(map(Path, told["written"])), failed, told["notes"]), list(map(Path, told["finished"]))


@contextmanager
def _connected(ray: ModuleType, address: str | None) -> Iterator[None]:
    """A connection to the cluster; it is left again, unless the caller has made it."""
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read where Ray is started
    try:
        host, _, port = (address or "").rpartition(":")
        if port.isdecimal() and "/" not in host:  # ray.init would try for minutes, and not say so
            socket.create_connection((host.strip("[]"), int(port)), timeout=20).close()
        ray.init(address or "local", include_dashboard=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise MachineError(
            f"No Ray at {address or 'this machine'}: {reason}. Whether a cluster runs is told by: ray status"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _room(ray: ModuleType, cpus: int, gpus: float) -> int:
    """How many workers the cluster has room for.

    Raises:
        SettingsError: for none.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = 0
    for node in nodes:
        most = node.get("CPU", 0) // cpus
        room += int(min(most, node.get("GPU", 0) // gpus) if gpus else most)
    if not room:
        held = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise SettingsError(
            f"cpus={cpus}, gpus={gpus:g}: no machine of the cluster has them ({held}). Ask for less, or give "
            "workers=N to wait until the cluster has grown."
        )
    return room
