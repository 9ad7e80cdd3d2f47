"""Predicting files and folders: any number of pictures of any size, resumable, shared among processes.

Results lie below the output's name with the folder structure kept. `prediction.json` says which model and options
they are of, so that another model's are never taken for finished; `records` say of which pictures.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from intarsia.distributed import joined
from intarsia.errors import SettingsError, did_you_mean
from intarsia.files import make_folder, reading, sweep, write_first, write_whole
from intarsia.inputs import find_images
from intarsia.loading import Predictor, load
from intarsia.options import PredictOptions, make_options
from intarsia.pipeline.flow import Outcome, Pipeline
from intarsia.pipeline.jobs import Job, chunks_of
from intarsia.pipeline.records import FOLDER, Record, Records, Stamp, agreed
from intarsia.pipeline.workshop import workshop
from intarsia.results.outputs import all_outputs, is_finished
from intarsia.results.plan import Plan
from intarsia.results.summaries import SUMMARISED, summarise

_PATIENCE = timedelta(days=30)  # of a process that is done for one that is at a slide
MANIFEST = "prediction.json"
_NOT_OF_THE_RESULTS = {"shard", "compile", "batch"}  # options that may differ between calls that fill one folder


@dataclass(frozen=True)
class Prediction:
    """What `predict` did.

    Attributes:
        out: the folder that was written to.
        written: relative paths without suffix, one for each image; results are `out/<output>/<path>.<suffix>`.
        failed: images that could not be read, each with its message.
        finished: relative paths of those whose results were there already.
        notes: what should be known of the results.
    """

    out: Path
    written: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]
    finished: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def predict(
    model: str | Path | Predictor,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    options: Mapping[str, Any] | PredictOptions | None = None,
    *,
    save: Sequence[str] = ("masks",),
    device: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prediction:
    """Predicts images and writes the results, at each image's own upright size.

    What is finished from an earlier call with the same model and options is left alone: the same call again goes on
    where the last one was stopped. Under torchrun the processes share the images.

    Args:
        model: a run folder, a model file, or what `load` returned.
        inputs: image files, slides, videos; folders that are searched with their sub-folders; patterns; text files
            with a path in each line.
        out: results are written to `out/<output>/<path below the input folder>.<suffix>`; of a pattern, that is the
            folder in front of its first wildcard.
        options: how; see `PredictOptions`.
        save: names of outputs, or one; see `outputs`.
        device: as for `load`.
        progress: called with the number of images done and of all; for one large image, of its blocks.

    Returns:
        What was written. An image that cannot be read is named there; the others are done all the same.

    Raises:
        SettingsError: an output or option that does not exist, an input folder that lies in `out`, or results of
            another model, other options or other pictures of the same name there.
        DataError: no images, or two that would be written to one file.
        ModelFileError: no model of ours.
        MachineError: `out` cannot be written, memory is full, or a library is missing.
    """
    chosen, names = checked(options, save)
    folder = Path(out)
    with joined(patience=_PATIENCE, advice="the same command again goes on") as world:
        jobs = jobs_of(inputs, folder)
        predictor = model if isinstance(model, Predictor) else load(model, device)
        task = Task(folder, names, jobs, predictor.plan(chosen), Records(folder))
        number, of = chosen.shard
        world.told(lambda: begin(task, predictor, alone=world.size == of == 1))
        task = task.within(world.told(task.agreed))
        own = chunks_of(jobs)[(number - 1) * world.size + world.rank :: of * world.size]
        everyone = world.collected(do(task, own, progress))
        return ended(task, everyone, world.told(task.summarised))


def checked(
    options: Mapping[str, Any] | PredictOptions | None, save: Sequence[str]
) -> tuple[PredictOptions, tuple[str, ...]]:
    """The options, and the names of outputs, each once.

    Raises:
        SettingsError: an output or option that does not exist.
    """
    chosen = options if isinstance(options, PredictOptions) else make_options(options or {})
    names = (save,) if isinstance(save, str) else tuple(dict.fromkeys(save))
    if not names:
        raise SettingsError(f"--save: names nothing. Known: {', '.join(all_outputs())}.")
    for name in names:
        if name not in all_outputs():
            raise SettingsError(f"--save {name}: is unknown. {did_you_mean(name, all_outputs())}")
    return chosen, names


def jobs_of(inputs: str | Path | Sequence[str | Path], out: Path) -> list[Job]:
    """All pictures, in order; errors as of `find_images`."""
    found = find_images([inputs] if isinstance(inputs, str | Path) else inputs, out)
    return [Job(relative, path) for relative, path in found.items()]


@dataclass(frozen=True)
class Task:
    """What is to be done by all processes together.

    Attributes:
        out: the folder of the results.
        save: names of outputs.
        jobs: the pictures.
        plan: how.
        records: of what is finished.
    """

    out: Path
    save: tuple[str, ...]
    jobs: Sequence[Job]
    plan: Plan
    records: Records

    def agreed(self) -> int:
        """Pixels of the largest picture or tile in one piece, as whoever was first has chosen by its memory."""
        return agreed(self.out, lambda: self.plan.room)

    def within(self, pixels: int) -> "Task":
        """The same, with at most so many pixels in one piece."""
        return replace(self, plan=replace(self.plan, fits=pixels))

    def finished(self, stamps: Mapping[Job, Stamp]) -> dict[Job, Record]:
        """The records of those pictures whose results are all there, and that are as they were then."""
        return self._finished(stamps, self.records.known)

    def _finished(self, stamps: Mapping[Job, Stamp], records: Mapping[str, Record]) -> dict[Job, Record]:
        found = {}
        for job, stamp in stamps.items():
            record = records.get(str(job.relative))
            if record and record.stamp == stamp and record.is_of(job.path) and set(self.save) <= set(record.save):
                found[job] = record
        return {job: record for job, record in found.items() if all(self._there(job, self.save))}

    def _there(self, job: Job, save: Sequence[str]) -> Iterator[bool]:
        return (is_finished(self.out, name, job.relative, job.path) for name in save)

    def refuse_others(self) -> None:
        """Makes sure that nothing is overwritten but earlier results of the same pictures.

        Raises:
            SettingsError: there are results of other pictures with these names.
        """
        for job in self.jobs:
            record = self.records.known.get(str(job.relative))
            if record and not record.is_of(job.path) and any(self._there(job, record.save)):
                raise SettingsError(
                    f"--out {self.out}: holds results of {record.picture}, which those of {job.path} would "
                    "overwrite. Choose another folder."
                )

    def summarised(self) -> list[str]:
        """What should be known of all pictures together, once that is written."""
        if SUMMARISED.isdisjoint(self.save):
            return []
        there = self._finished({job: Stamp.of(job.path) for job in self.jobs}, self.records.read())
        pictures = [job.relative for job in self.jobs if job in there]
        return summarise(self.out, self.save, pictures, len(self.jobs), self.plan)


def begin(task: Task, predictor: Predictor, *, alone: bool) -> None:
    """Makes the folder of the results, or makes sure that what it holds belongs to these.

    Args:
        task: what will be done.
        predictor: with which model.
        alone: whether nobody else writes there now; then what was left unfinished is removed.

    Raises:
        SettingsError: it holds other files, or results of another model, other options or other pictures.
        MachineError: it cannot be written.
    """
    out = task.out
    manifest = out / MANIFEST
    own: dict[str, Any] = {
        "model": _fingerprint(predictor),
        "options": task.plan.options.model_dump(mode="json", exclude=_NOT_OF_THE_RESULTS, exclude_defaults=True),
    }
    content = json.dumps(own, indent=2).encode() + b"\n"
    found = _told_by(manifest)
    if found is None:
        _refuse_others_files(task)
        make_folder(out)
        found = own if write_first(manifest, content) else _told_by(manifest) or {}
    if differing := _differing(found, own):
        if not alone or _holds_results(out):  # without any, a call has failed at once
            raise SettingsError(f"--out {out}: holds results of {differing}. Choose another folder, or remove it.")
        write_whole(manifest, content)
        shutil.rmtree(out / FOLDER, ignore_errors=True)
    task.refuse_others()
    if alone:  # what other processes are at is not to be swept away
        tidy(out)
        task.records.merge()


def _told_by(manifest: Path) -> dict[str, Any] | None:
    """What the results in a folder are of; nothing, where it is not ours."""
    try:
        with reading(manifest):
            if not manifest.exists():
                return None
            found = json.loads(manifest.read_bytes())
    except ValueError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("options"), dict) else {}


def _refuse_others_files(task: Task) -> None:
    for job in task.jobs:
        for name in task.save:
            if is_finished(task.out, name, job.relative, job.path):
                raise SettingsError(
                    f"--out {task.out}: {task.out / name} holds files that predict did not write, and would "
                    "overwrite. Choose another folder."
                )


def _holds_results(out: Path) -> bool:
    found = (path for name in all_outputs() for path in (out / name).rglob("*"))
    return any(path.is_file() and not path.name.startswith(".") for path in found)


def tidy(out: Path) -> None:
    """Removes what processes that were killed left unfinished, among the results alone."""
    results = {path.parent for name in all_outputs() for path in (out / name).rglob(".*.tmp")}
    for folder in (out, out / FOLDER, *results):
        sweep(folder)


def _differing(found: dict[str, Any], own: dict[str, Any]) -> str:
    """In which way results are others; empty where they are not."""
    if found.get("model") != own["model"]:
        return "another model"
    defaults = PredictOptions().model_dump(mode="json")
    before, now = {**defaults, **found.get("options", {})}, {**defaults, **own["options"]}
    names = sorted(name for name in before if before[name] != now.get(name))
    told = [f"{name}: {before[name]}, not {now.get(name)}" for name in names]
    return f"other options ({', '.join(told)})" if told else ""


def _fingerprint(predictor: Predictor) -> str:
    """SHA-256 over the weights and classes of a model."""
    digest = hashlib.sha256(json.dumps(predictor.labels.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(predictor.segmenter.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def do(
    task: Task, chunks: Sequence[Sequence[Job]], progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Outcome, list[Path]]:
    """Predicts some chunks of a task; what is finished stays, and is told apart."""
    stamps = {job: Stamp.of(job.path) for chunk in chunks for job in chunk}
    finished = task.finished(stamps)
    waiting = [chunk for chunk in chunks if not finished.keys() >= set(chunk)]
    with workshop(task.plan, task.out, task.save) as shop:
        outcome = Pipeline(shop, task.records, stamps, finished.keys(), progress).run(waiting)
    return outcome, known(finished, outcome)


def known(finished: Mapping[Job, Record], outcome: Outcome) -> list[Path]:
    """Those of finished pictures that an outcome does not tell of; what was found damaged is told in it again."""
    written, failed = set(outcome.written), {path for path, _ in outcome.failed}
    rest = {
        job: record for job, record in finished.items() if job.relative not in written and job.path not in failed
    }
    outcome.failed.extend((job.path, record.damage) for job, record in rest.items() if record.damage)
    return [job.relative for job, record in rest.items() if not record.damage]


def ended(task: Task, everyone: Sequence[tuple[Outcome, list[Path]]], told: Sequence[str]) -> Prediction:
    """What all processes did, in the order of the pictures.

    Args:
        task: that is done.
        everyone: what `do` returned in each process.
        told: what `Task.summarised` returned.
    """
    order = {job.relative: place for place, job in enumerate(task.jobs)}
    place = {job.path: order[job.relative] for job in task.jobs}
    notes = [*(note for one, _ in everyone for note in one.notes), *told]
    return Prediction(
        task.out,
        tuple(sorted((path for one, _ in everyone for path in one.written), key=order.__getitem__)),
        tuple(sorted((pair for one, _ in everyone for pair in one.failed), key=lambda pair: place[pair[0]])),
        tuple(sorted((path for _, paths in everyone for path in paths), key=order.__getitem__)),
        tuple(dict.fromkeys(filter(None, notes))),
    )
