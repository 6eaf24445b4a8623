"""``croissant.json``: metadata of the dataset and its provenance (MLCommons Croissant 1.0, JSON-LD)."""

import json
from collections.abc import Sequence
from typing import Any

from core.datasets.card import dropped_in_words
from core.datasets.quality_warnings import DatasetFacts, plain_warnings
from core.datasets.samples import IMAGE, MASK
from core.datasets.shards import ShardEntry

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def write_croissant(facts: DatasetFacts, shards: Sequence[ShardEntry]) -> bytes:
    """The document; equal facts give equal bytes. Shards are named by path, size and SHA-256."""
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.name,
        "description": _description(facts),
        "license": facts.generator.licence or "unknown",
        "version": "1.0.0",
        "isLiveDataset": False,
        "keywords": ["synthetic", "segmentation", facts.generator.domain],
        "distribution": [*(_shard(one) for one in shards), *(_files(one, shards) for one in (IMAGE, MASK))],
        "recordSet": [
            _records("images", IMAGE, "RGB pictures."),
            _records("masks", MASK, "Palette PNGs: a pixel's value is its class id."),
            _classes(facts),
        ],
        "rai:dataCollection": (
            f"Images drawn by the generator {facts.generator.name} (weights SHA-256 {facts.generator.digest}); labels "
            f"are those of an ensemble trained on {facts.label_count} labelled images. No person has checked them."
        ),
        "rai:dataCollectionType": ["Synthetic data"],
        "rai:dataLimitations": plain_warnings(facts),
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "sc:name": "offhand generate",
            "prov:used": [
                {"@type": "prov:Entity", "sc:name": name, "sc:identifier": f"sha256:{digest}"}
                for name, digest in {"generator": facts.generator.digest, **facts.digests}.items()
            ],
            "sc:description": json.dumps(dict(facts.settings), sort_keys=True, ensure_ascii=False),
        },
    }
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _description(facts: DatasetFacts) -> str:
    height, width = facts.size
    dropped = dropped_in_words(facts)
    return (
        f"{facts.statistics.count:,} generated images of {width} x {height} pixels with a class for every pixel."
        f"{' ' + dropped if dropped else ''}"
    )


def _shard(shard: ShardEntry) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard.path,
        "name": shard.path,
        "contentUrl": shard.path,
        "contentSize": f"{shard.bytes} B",
        "encodingFormat": "application/x-tar",
        "sha256": shard.sha256,
    }


def _files(suffix: str, shards: Sequence[ShardEntry]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": suffix,
        "name": suffix,
        "containedIn": [{"@id": shard.path} for shard in shards],
        "encodingFormat": "image/png",
        "includes": f"*.{suffix}",
    }


def _records(name: str, suffix: str, description: str) -> dict[str, Any]:
    """Pictures by their index in the stream. Masks refer to images by it."""
    file_set = {"fileSet": {"@id": suffix}}
    name_part = {"extract": {"fileProperty": "filename"}, "transform": {"regex": r"^(\d+)\..*$"}}
    index = _field(f"{name}/index", "sc:Text", {**file_set, **name_part})
    if name != "images":
        index["references"] = {"field": {"@id": "images/index"}}
    content = _field(f"{name}/content", "sc:ImageObject", {**file_set, "extract": {"fileProperty": "content"}})
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": f"{name}/index"},
        "field": [index, content],
    }


def _field(name: str, kind: str, source: dict[str, Any]) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": name, "name": name, "dataType": kind, "source": source}


def _classes(facts: DatasetFacts) -> dict[str, Any]:
    """Ids, names, and how much of the dataset each class is."""
    statistics = facts.statistics
    kinds = {"id": "sc:Integer", "name": "sc:Text", "pixels": "sc:Integer", "images": "sc:Integer"}
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": f"What the values of masks mean; {facts.classes.ignore_index} is ignored.",
        "key": {"@id": "classes/id"},
        "field": [
            {"@type": "cr:Field", "@id": f"classes/{name}", "name": f"classes/{name}", "dataType": kind}
            for name, kind in kinds.items()
        ],
        "data": [
            {
                "classes/id": class_id,
                "classes/name": facts.classes.name(class_id),
                "classes/pixels": statistics.pixels[class_id],
                "classes/images": statistics.images[class_id],
            }
            for class_id in facts.classes.ids
        ],
    }
