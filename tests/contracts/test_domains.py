import pytest

from contracts.domains import DOMAINS, with_domain
from core.labeling.config import KEYPOINT_SIZES
from store.job_kinds.generate import GenerateSpec
from store.requests.labeler import LabelerSpec

REQUEST = {"labels": "upl_1", "generator": "g", "count": 5}


@pytest.mark.parametrize("name", DOMAINS)
def test_a_preset_states_what_the_request_does_not(name):
    spec = GenerateSpec.model_validate({**REQUEST, "preset": name})
    wanted = DOMAINS[name]
    assert spec.fit == wanted["fit"]
    assert spec.background == wanted.get("background", "keep")
    assert spec.inversion.steps == wanted["inversion"]["steps"]
    assert spec.labeler.hidden == wanted["labeler"]["hidden"]
    assert spec.labeler.keypoint_size in (None, *KEYPOINT_SIZES)
    assert GenerateSpec.model_validate(spec.model_dump(mode="json")) == spec, "a stored request is read as it was"


def test_the_request_goes_before_its_preset():
    given = {
        "preset": "humans",
        "inversion": {"steps": 7},
        "labeler": {"preset": "paper", "hidden": None},
        "fit": "pad",
    }
    spec = GenerateSpec.model_validate({**REQUEST, **given})
    assert (spec.fit, spec.background, spec.inversion.steps, spec.inversion.radius) == ("pad", "white", 7, 0.5)
    assert (spec.labeler.preset, spec.labeler.hidden, spec.labeler.keypoint_size) == ("paper", None, "bodies")


def test_requests_without_a_preset_are_unchanged():
    assert with_domain(REQUEST) == REQUEST
    assert GenerateSpec.model_validate(REQUEST).labeler == LabelerSpec()
    for wrong in ("boats", ["faces"]):
        with pytest.raises(ValueError, match="preset"):
            GenerateSpec.model_validate({**REQUEST, "preset": wrong})
