"""Describe a cohort's results as a BIDS derivative dataset (BIDS specification, Derivatives)."""

import json
from pathlib import Path
from typing import Any

from BSAFusionLib import version
from BSAFusionLib.cohort.cases import Case
from BSAFusionLib.files.outputs import Names
from BSAFusionLib.modalities import MODALITIES

BIDS_VERSION = "1.10.0"
DESCRIPTION_NAMES = ("dataset_description.json", "README.md", ".bidsignore")
# Files that BIDS does not name yet, beside some modalities: transforms, reports, previews.
NAMES_OUTSIDE_BIDS = ("*_xfm.*", "*_report.*", "*_preview.png")
README = """# MRI fused with CT, PET or SPECT

Every folder `sub-*` holds the results of BSAFusion for one case: the volumes fused (`desc-fused`), the moving volume in
colors over the MRI (`desc-overlay`) and on the MRI's grid (`desc-registered`), the transform between them (`xfm`), a
report and a preview. `summary.html` and `summary.csv` list all cases, the worst first.

For research use only. Not for clinical use.
"""


def describe_dataset(folder: Path, cohort: Path) -> None:
    """Write dataset_description.json, README.md and .bidsignore into the folder of a cohort's results.

    The sources in the sidecars are relative to the dataset link `raw`.

    Args:
        folder: The folder of the results.
        cohort: The BIDS folder or table that the cases come from.
    """
    raw = (cohort if cohort.is_dir() else cohort.parent).resolve().as_uri()
    description = {
        "Name": "MRI fused with CT, PET or SPECT by BSAFusion",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "BSAFusion", "Version": version}],
        "SourceDatasets": [{"URL": raw}],
        "DatasetLinks": {"raw": raw},
    }
    (folder / "dataset_description.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(README, encoding="utf-8")
    (folder / ".bidsignore").write_text(_ignored(), encoding="utf-8")


def _ignored() -> str:
    """Return the content of .bidsignore: files that BIDS does not name, and the cohort's tables."""
    folders = [f"{row.name}/" for row in MODALITIES.values() if not row.in_bids]
    return "".join(f"**/{pattern}\n" for pattern in (*folders, *NAMES_OUTSIDE_BIDS)) + "summary.*\nlogs/\n"


def sidecar_names(names: Names) -> list[str]:
    """Return the names of the JSON sidecars of a case's volumes and transform."""
    return [f"{name.split('.')[0]}.json" for name in (names.fused, names.overlay, names.registered, names.deformation)]


def write_sidecars(case: Case, folder: Path, report: dict[str, Any]) -> None:
    """Write the JSON sidecars of a case's volumes and transform.

    Args:
        case: The case.
        folder: The folder of its files.
        report: The content of its report.json.
    """
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
            "Description": f"The {kind} in colors ({report['overlay']['color_map']}) over the MRI, on the MRI's grid",
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
            "Description": "MRI point to moving point, mm, LPS: a displacement grid, then the initial transform (ITK)",
            "FromFile": moving,
            "ToFile": fixed,
        },
    )
    for name, content in zip(sidecar_names(names), described, strict=True):
        # SkullStripped is required; nothing is stripped here.
        content = {"SpatialReference": fixed, "SkullStripped": False, **content}
        text = json.dumps({key: value for key, value in content.items() if value not in (None, "", [])}, indent=2)
        (folder / name).write_text(text + "\n", encoding="utf-8")
