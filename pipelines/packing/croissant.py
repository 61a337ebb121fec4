"""Croissant metadata of a bundle: JSON-LD after the MLCommons specification 1.1 (docs/croissant-spec-1.1.md)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .card import plain_text
from .contents import CLIPS, PackContents
from .licences import OPEN
from .splits import SPLITS

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"

_CROISSANT_TERMS = (
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
    "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value",
)  # fmt: skip

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    **{term: f"cr:{term}" for term in _CROISSANT_TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
"""Context from the specification's appendix, but with https for schema.org, as in the library mlcroissant 1.1."""

_SPLIT_MEANING = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}

COLUMNS = {
    "clip": ("sc:Text", "Path of the clip in this bundle."),
    "split": ("sc:Text", "train, val or test."),
    "subject": ("sc:Text", "The subject, inferred from the path of the motion."),
    "source": ("sc:Text", "The motion that the clip was made from."),
    "licence": ("sc:Text", "Licence of the motion, which also binds the clip."),
    "verdict": ("sc:Text", "feasible, warn or infeasible: whether the body can perform the motion."),
    "nframe": ("sc:Integer", "Number of frames."),
    "seconds": ("sc:Float", "Duration [s]."),
    "fps": ("sc:Float", "Frames per second."),
    "landmark_error_mm": ("sc:Float", "Mean distance of the landmarks from their targets [mm]."),
    "sha256": ("sc:Text", "SHA-256 of the clip's file."),
}
"""Columns of clips.csv: data type and description."""


def croissant(
    name: str,
    contents: PackContents,
    tables: Mapping[str, tuple[int, str, str]],
    *,
    description: str,
    version: str,
    properties: Mapping[str, str],
) -> str:
    """Metadata as JSON text.

    Args:
        name: Name of the bundle.
        contents: Contents of the bundle.
        tables: Files other than clips: size [bytes], SHA-256 and media type by path.
        description: Description of the bundle.
        version: Version of the data, such as 1.0.0.
        properties: `url`, `creator`, `date_published`, `citation`, as far as known. The specification requires the
            first three; unknown ones are omitted, not invented.
    """
    licences = sorted({plain_text(clip.terms.licence) for clip in contents.clips})
    stored: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": plain_text(name),
        "description": description,
        "license": [OPEN.get(licence, licence) for licence in licences],
        "version": version,
        "keywords": ["motion capture", "musculoskeletal", "MuJoCo", "MyoFullBody"],
        **({"url": properties["url"]} if "url" in properties else {}),
        **({"creator": {"@type": "sc:Organization", "name": properties["creator"]}} if "creator" in properties else {}),
        **({"datePublished": properties["date_published"]} if "date_published" in properties else {}),
        **({"citeAs": properties["citation"]} if "citation" in properties else {}),
        "isLiveDataset": False,
        "distribution": _distribution(contents, tables),
        "recordSet": [_split_records(), _clip_records()],
    }
    # Web pages embed this in script tags, so "<" is escaped, which could end them.
    return json.dumps(stored, indent=2).replace("<", "\\u003c") + "\n"


def missing_properties(properties: Mapping[str, str]) -> Sequence[str]:
    """Properties that the specification requires and that are not given."""
    names = {"url": "url", "creator": "creator", "date_published": "datePublished"}
    return [name for key, name in names.items() if key not in properties]


def _distribution(contents: PackContents, tables: Mapping[str, tuple[int, str, str]]) -> list[dict[str, Any]]:
    files = [
        _file(path, size=size, sha256=sha256, media_type=media_type)
        for path, (size, sha256, media_type) in sorted(tables.items())
    ]
    clips = sorted(contents.clips, key=lambda clip: clip.path)
    return files + [
        _file(clip.path, size=clip.size, sha256=clip.entry.clip_sha256 or "", media_type="application/x-hdf5")
        for clip in clips
    ]


def _file(path: str, *, size: int, sha256: str, media_type: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject", "@id": path, "name": path, "contentUrl": path, "contentSize": f"{size} B",
        "encodingFormat": media_type, "sha256": sha256,
    }  # fmt: skip


def _split_records() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet", "@id": "splits", "name": "splits", "dataType": "cr:Split",
        "key": {"@id": "splits/name"}, "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": "sc:URL"},
        ],
        "data": [{"splits/name": split, "splits/url": _SPLIT_MEANING[split]} for split in SPLITS],
    }  # fmt: skip


def _clip_records() -> dict[str, Any]:
    fields = []
    for column, (data_type, meaning) in COLUMNS.items():
        field: dict[str, Any] = {
            "@type": "cr:Field", "@id": f"{CLIPS}/{column}", "name": column, "description": meaning,
            "dataType": data_type,
            "source": {"fileObject": {"@id": "clips.csv"}, "extract": {"column": column}},
        }  # fmt: skip
        if column == "split":
            field["references"] = {"field": {"@id": "splits/name"}}
        fields.append(field)
    return {
        "@type": "cr:RecordSet", "@id": CLIPS, "name": CLIPS, "description": "One record per clip.",
        "key": {"@id": f"{CLIPS}/clip"}, "field": fields,
    }  # fmt: skip
