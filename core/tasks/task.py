"""The kinds of label."""

from typing import Literal, get_args

Task = Literal["segmentation", "keypoints", "depth"]
TASKS: tuple[Task, ...] = get_args(Task)
"""All of them, in the order in which a label set's tasks are listed; the first of a set ranks its images."""
