"""The steps of every kind of job, one file each: fetch, call the library, hand over what was made."""

from worker.steps.evaluation.evaluate import evaluate
from worker.steps.generation.draw_samples import draw_samples
from worker.steps.generation.export import export
from worker.steps.generation.finalize import finalize
from worker.steps.generation.sample import sample
from worker.steps.generators.assess_generator import assess_generator
from worker.steps.generators.import_generator import import_generator
from worker.steps.generators.prepare_encoder import prepare_encoder
from worker.steps.generators.prepare_perceptual import prepare_perceptual
from worker.steps.generators.train_generator import train_generator
from worker.steps.image_sets.add_images import add_images
from worker.steps.image_sets.preview_images import preview_images
from worker.steps.inversion.import_encoder import import_encoder
from worker.steps.inversion.invert import invert
from worker.steps.inversion.train_encoder import train_encoder
from worker.steps.label_sets.validate import validate
from worker.steps.labeler.assess_labeler import assess_labeler
from worker.steps.labeler.train_labeler import train_labeler

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
    "add_images": add_images,
    "prepare_perceptual": prepare_perceptual,
    "prepare_encoder": prepare_encoder,
    "preview_images": preview_images,
    "train_generator": train_generator,
    "import_encoder": import_encoder,
    "assess_labeler": assess_labeler,
    "assess_generator": assess_generator,
    "draw_samples": draw_samples,
}
