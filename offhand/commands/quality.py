"""How good a dataset is, as the last lines that a command prints."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def quality_of(client: "Client", dataset: dict[str, Any]) -> dict[str, Any]:
    """``{quality, warnings, evaluation}`` of a dataset document; ``evaluation``: verdict and failed gates of the newest
    finished evaluation, or None.
    """
    return {
        "quality": dataset.get("quality"),
        "warnings": dataset.get("warnings") or [],
        "evaluation": _newest_evaluation(client, dataset["id"]),
    }


def _newest_evaluation(client: "Client", dataset_id: str) -> dict[str, Any] | None:
    for one in client.evaluations(dataset_id):
        if one.get("report_json"):
            report = client.report(one["id"])
            failed = [gate["words"] for gate in report["gates"] if gate["state"] == "failed"]
            return {"id": one["id"], "sentence": report["sentence"], "failed": failed}
    return None


def quality_lines(found: dict[str, Any]) -> list[str]:
    """What :func:`quality_of` returns as lines for people: scores, then warnings, then reasons against using it."""
    quality = found["quality"] or {}
    lines = _scores(quality)
    against = quality.get("do_not_use") or []
    lines += [f"  warning        {words}" for words in found["warnings"] if words not in against]
    evaluation = found["evaluation"]
    if evaluation is not None:
        lines.append(f"  evaluation     {evaluation['sentence']}")
        lines += [f"  failed         {words}" for words in evaluation["failed"]]
    return lines + [f"  DO NOT USE     {words}" for words in against]


def _scores(quality: dict[str, Any]) -> list[str]:
    lines = []
    held_out, inversion = quality.get("held_out"), quality.get("reconstruction")
    if held_out and held_out.get("mean_iou") is not None:
        count = held_out["images"]
        lines.append(
            f"  held-out mIoU  {held_out['mean_iou']:.3f} on {count} labelled image{'s' * (count != 1)} kept aside"
        )
    elif quality:
        lines.append("  held-out mIoU  not measured: no labelled images were kept aside")
    if inversion:
        perceptual = inversion.get("median_perceptual")
        distance = "" if perceptual is None else f", median {inversion['perceptual_name']} {perceptual:.3f}"
        lines.append(
            f"  reconstruction median PSNR {inversion['median_psnr']:.1f} dB{distance}; "
            f"{inversion['flagged']} of {inversion['images']} images flagged"
        )
    return lines
