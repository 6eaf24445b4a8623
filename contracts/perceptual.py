"""The ImageNet weights that inversion compares images with, where a generator has no perceptual network of its own."""

#: Setting of a worker: the folder with the weights.
WEIGHTS_SETTING = "OFFHAND_WORKER__PERCEPTUAL_WEIGHTS"
#: Pixels of an image's shorter side below which LPIPS cannot be computed.
SMALLEST_LPIPS_IMAGE = 32
#: What to do where no worker has the weights.
HOW_TO_PROVIDE = (
    "run on every worker: offhand weights pull vgg (528 MB; without a network: --from FILE), or put torchvision's "
    f"vgg16-397923af.pth into a folder and start the workers with {WEIGHTS_SETTING}=FOLDER"
)
TOO_SMALL = (
    f"LPIPS needs images of {SMALLEST_LPIPS_IMAGE} pixels or more, and this generator's are smaller: it cannot be used "
    "to learn from labels, unless it is built in with a perceptual network of its own"
)
