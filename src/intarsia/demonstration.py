"""The whole way on data that we draw ourselves: scenes, training, scores, predictions, pictures."""

from collections.abc import Callable
from pathlib import Path

from intarsia.errors import SettingsError
from intarsia.evaluation import evaluate
from intarsia.files import writing
from intarsia.metrics import Scores
from intarsia.prediction import predict
from intarsia.settings import make_settings
from intarsia.synthetic.scenes import write_scenes
from intarsia.training import train

DEMO_SETTINGS = {"train": {"budget": "3m15s", "validations": 4}}


def demo(out: str | Path = "demo", say: Callable[[str], None] = lambda text: None) -> Scores:
    """Draws road scenes into `out/data`, trains on them as on anyone's files, scores and predicts the test split.

    Args:
        out: a new folder; it gets data/, run/ and predictions/.
        say: told each step.

    Returns:
        The scores on the test split.

    Raises:
        SettingsError: `out` is not empty.
        KeyboardInterrupt: the training was stopped.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise SettingsError(f"{out}: is not empty. Give a new folder with --out, or remove it.")
    settings = make_settings(DEMO_SETTINGS)
    say(f"drawing road scenes into {out / 'data'}")
    with writing(out / "data"):
        data = write_scenes(out / "data")
    training = train(data, out / "run", settings)
    if training.stopped_by:
        raise KeyboardInterrupt
    scores = evaluate(training.folder, data, "test")
    predict(training.folder, data / "images" / "test", out / "predictions", save=("masks", "overlays", "triptychs"))
    return scores
