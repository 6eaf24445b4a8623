"""`client.label_sets`: labelled images that the service has read and checked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offhand.documents import Job, LabelSet
from offhand.sdk.connection import given
from offhand.sdk.resources.uploads import UploadingResource

#: Fields of a request for a dataset that decide whether labelled images can be used for it.
CHECKED = ("preset", "samples", "fit", "background", "align", "inversion", "labeler", "composition", "priority")


class LabelSets(UploadingResource):
    """Label sets, each made by a job from an upload."""

    path = "/v1/label-sets"

    def list(self) -> Iterator[LabelSet]:
        """Yield label sets, newest first."""
        return self._connection.pages(LabelSet, self.path)

    def get(self, label_set_id: str) -> LabelSet:
        """Return one label set; ``info`` has its format, classes, counts and notes."""
        return self._connection.get(LabelSet, self._at(label_set_id))

    def preview(self, label_set_id: str) -> bytes:
        """Return a PNG of the first labels over their images."""
        return self._connection.content(self._at(label_set_id, "preview"))

    def check(self, labels: str | Path, generator: str, **settings: Any) -> Job:
        """Start the job that reads labelled images and checks them against a request for a dataset, without making
        one; return the job. Its ``result["label_set"]`` can stand for the labels afterwards.

        ``labels``: an id, or a path, which is uploaded first. ``settings``: those of ``client.datasets.generate``;
        fields that do not concern the labels are left out.
        """
        checked = given({name: settings.get(name) for name in CHECKED})
        body = {"kind": "check_labels", "labels": self._uploads.id_of(labels), "generator": generator} | checked
        return self._connection.send(Job, "POST", "/v1/jobs", body)
