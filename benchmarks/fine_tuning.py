"""Does a beginning with weights from drawn road scenes help on real ones? mIoU after the same time, and on the way.

    python -m benchmarks.fine_tuning FOLDER [--budget 5m] [--ignore 11]

Draws 400 scenes of 360x480, trains the network that `train` chooses here on them for the budget, then trains it on
FOLDER twice for the same budget: from random weights, and from these. Validation mIoU on FOLDER, as in the log;
random numbers of order and augmentation are the same in both.
"""

import argparse
import tempfile
from pathlib import Path

import intarsia
from intarsia.runs import read_metrics
from intarsia.settings import make_settings, parse_overrides
from intarsia.synthetic.scenes import write_scenes

SIZE, SCENES = (360, 480), {"train": 400, "val": 40}


def curve(folder: Path) -> str:
    """Seconds and mIoU of each validation."""
    lines = [line for line in read_metrics(folder) if line["kind"] == "val"]
    return "  ".join(f"{line['seconds']:.0f} s {line['miou']:.3f}" for line in lines)


def main() -> None:
    """Prints the scores of the three trainings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--ignore", type=int, nargs="*", default=[11])
    parser.add_argument("settings", nargs="*", help="section.key=value for the fine-tuned training")
    given = parser.parse_args()
    more = parse_overrides(given.settings)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        scenes = write_scenes(place / "scenes", SCENES, SIZE)
        train, data = {"budget": given.budget}, {"ignore": given.ignore}
        first = intarsia.train(scenes, place / "scenes-run", {"train": train})
        runs = {
            "random": {"train": train, "data": data},
            "scenes": {"train": train, "data": data, "model": {"pretrained": str(first.folder)}},
        }
        for name, settings in runs.items():
            layers = make_settings(settings, more if name == "scenes" else {})
            training = intarsia.train(given.folder, place / f"from-{name}", layers)
            assert training.scores is not None
            print(f"from {name}: mIoU {training.scores.miou:.4f} after {training.steps} steps")
            print(f"  on the way: {curve(training.folder)}")


if __name__ == "__main__":
    main()
