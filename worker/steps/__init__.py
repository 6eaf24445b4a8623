"""The steps of every kind of job, one file each: fetch, call the library, hand over what was made."""

from worker.steps.assess_labeler import assess_labeler
from worker.steps.draw_samples import draw_samples
from worker.steps.evaluate import evaluate
from worker.steps.export import export
from worker.steps.finalize import finalize
from worker.steps.import_generator import import_generator
from worker.steps.invert import invert
from worker.steps.sample import sample
from worker.steps.train_encoder import train_encoder
from worker.steps.train_labeler import train_labeler
from worker.steps.validate import validate

STEPS = {
    "validate": validate,
    "invert": invert,
    "train_encoder": train_encoder,
    "train_labeler": train_labeler,
    "sample": sample,
    "finalize": finalize,
    "evaluate": evaluate,
    "export": export,
    "import_generator": import_generator,
    "assess_labeler": assess_labeler,
    "draw_samples": draw_samples,
}
