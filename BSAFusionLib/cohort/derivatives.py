"""What describes a cohort's results to tools that read BIDS derivatives (BIDS specification, Derivatives)."""

import json
from pathlib import Path
from typing import Any

from BSAFusionLib import version
from BSAFusionLib.cohort.cases import Case
from BSAFusionLib.files.outputs import Names
from BSAFusionLib.modalities import MODALITIES

bids_version = "1.10.0"
description_names = ("dataset_description.json", "README.md", ".bidsignore")
# What BIDS has no names for yet, beside some modalities: transforms, reports, previews.
unnamed = ("*_xfm.*", "*_report.*", "*_preview.png")
readme = """# MRI fused with CT, PET or SPECT

Every folder `sub-*` holds what BSAFusion made of one case: the volumes fused (`desc-fused`), the moving volume on the
MRI's grid (`desc-registered`), the transform between them (`xfm`), a report and a preview. `summary.html` and
`summary.csv` list all cases, the worst first. For research use only. Not for clinical use.
"""


def describe_dataset(folder: Path, cohort: Path) -> None:
    """Write dataset_description.json, README.md and .bidsignore into the folder of a cohort's results.

    The dataset link `raw` is the folder that the sources in the sidecars are relative to.
    """
    raw = (cohort if cohort.is_dir() else cohort.parent).resolve().as_uri()
    description = {
        "Name": "MRI fused with CT, PET or SPECT by BSAFusion",
        "BIDSVersion": bids_version,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "BSAFusion", "Version": version}],
        "SourceDatasets": [{"URL": raw}],
        "DatasetLinks": {"raw": raw},
    }
    (folder / "dataset_description.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(readme, encoding="utf-8")
    (folder / ".bidsignore").write_text(_ignored(), encoding="utf-8")


def _ignored() -> str:
    """Return the .bidsignore: what BIDS has no names for, and the tables of the whole cohort."""
    folders = [f"{row.name}/" for row in MODALITIES.values() if not row.in_bids]
    return "".join(f"**/{pattern}\n" for pattern in (*folders, *unnamed)) + "summary.*\nlogs/\n"


def sidecar_names(names: Names) -> list[str]:
    """Return the names of the JSON files that go with the volumes and the transform of a case."""
    return [f"{name.split('.')[0]}.json" for name in (names.fused, names.registered, names.deformation)]


def write_sidecars(case: Case, folder: Path, report: dict[str, Any]) -> None:
    """Write the JSON that goes with each volume and with the transform; `report` is the case's report.json."""
    names, (fixed, moving) = case.names, case.sources
    dicom = report.get("dicom", {})
    place = {key: dicom.get("fixed", {}).get(key) for key in ("FrameOfReferenceUID",)}
    unit = {"Units": dicom.get("moving", {}).get("Unit")}
    kind = case.pair.modality.upper()
    described = (
        {
            "Description": f"The MRI fused with the {kind} that was aligned to it, on the MRI's grid",
            "Sources": [source for source in case.sources if source],
            **place,
        },
        {
            "Description": f"The {kind}, aligned to the MRI and resampled onto its grid",
            "Sources": [source for source in (moving,) if source],
            **place,
            **unit,
        },
        {
            "Description": "MRI point to moving point, in mm and LPS: a displacement grid, then the rigid start (ITK)",
            "FromFile": moving,
            "ToFile": fixed,
        },
    )
    for name, content in zip(sidecar_names(names), described, strict=True):
        # SkullStripped is required; nothing is stripped here.
        content = {"SpatialReference": fixed, "SkullStripped": False, **content}
        text = json.dumps({key: value for key, value in content.items() if value not in (None, "", [])}, indent=2)
        (folder / name).write_text(text + "\n", encoding="utf-8")
