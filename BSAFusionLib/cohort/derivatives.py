"""Describe a cohort's results as a BIDS derivative dataset (BIDS specification, Derivatives)."""

import json
import os
from pathlib import Path
from typing import Any

from BSAFusionLib import version
from BSAFusionLib.cohort.cases import Case
from BSAFusionLib.cohort.summary import SUMMARY_NAMES
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.atomic import written_whole
from BSAFusionLib.files.outputs import Names
from BSAFusionLib.files.sidecars import DESCRIPTION
from BSAFusionLib.files.texts import write_json
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.summary import doubt_of

BIDS_VERSION = "1.10.0"
PROGRAM = "BSAFusion"
BIDSIGNORE = ".bidsignore"
DESCRIPTION_NAMES = (DESCRIPTION, "README.md", BIDSIGNORE)
# Files that BIDS does not name yet, beside some modalities: transforms, reports, previews.
NAMES_OUTSIDE_BIDS = ("*_xfm.*", "*_report.*", "*_preview.png")
# Files with a sidecar, by the fields of `Names`, which itself names that of the frames.
DESCRIBED = ("fused", "overlay", "registered", "deformation", "rigid", "network", "expected_error")
README = """# MRI fused with CT, PET or SPECT

Every folder `sub-*` holds the results of BSAFusion for one case: the volumes fused (`desc-fused`), the moving volume in
colors over the MRI (`desc-overlay`) and on the MRI's grid (`desc-registered`), the transform between them (`xfm`) and
its two parts (`desc-rigid`, `desc-network`), the expected error in mm (`desc-expectedError`), a report and a preview.
`summary.html` and `summary.csv` list all cases, the worst first, and those that were left out.

For research use only. Not for clinical use.
"""


def refuse_other_dataset(folder: Path) -> None:
    """Check that a folder for results is no dataset, and holds no summary, of the user or of another program.

    Raises:
        FusionError: Its dataset_description.json does not name this program under GeneratedBy, or it has a summary
            without that file, which this program writes first.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        own = any(item["Name"] == PROGRAM for item in description["GeneratedBy"])
    except (FileNotFoundError, NotADirectoryError):
        for summary in (folder / name for name in SUMMARY_NAMES):
            if os.path.lexists(summary):
                raise FusionError(
                    f"{summary} is not of this program and would be replaced; rename it or choose another folder for "
                    "the results."
                ) from None
        return
    except (OSError, ValueError, KeyError, TypeError):
        own = False
    if not own:
        raise FusionError(
            f"{folder} is another dataset, whose {DESCRIPTION} does not name {PROGRAM} under GeneratedBy; choose "
            "another folder for the results."
        )


def describe_dataset(folder: Path, root: Path) -> None:
    """Write dataset_description.json into the folder of a cohort's results, and complete README and .bidsignore.

    The sources in the sidecars are relative to the dataset link `raw`. A README that is there stays, and so do the
    lines of a .bidsignore.

    Args:
        folder: The folder of the results.
        root: The cohort's root.

    Raises:
        FusionError: The folder cannot be written to.
    """
    raw = root.as_uri()
    description = {
        "Name": "MRI fused with CT, PET or SPECT by BSAFusion",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": PROGRAM, "Version": version}],
        "SourceDatasets": [{"URL": raw}],
        "DatasetLinks": {"raw": raw},
    }
    ignored = _text_of(folder / BIDSIGNORE)
    missing = [line for line in _ignored() if line not in ignored.splitlines()]
    texts = {
        DESCRIPTION: json.dumps(description, indent=2) + "\n",
        BIDSIGNORE: "\n".join([*ignored.splitlines(), *missing, ""]) if missing else ignored,
    }
    if not any(folder.glob("README*")):  # BIDS allows one, with any of several suffixes
        texts["README.md"] = README
    with written_whole(folder) as unfinished:  # other jobs may read these files now
        for name, text in texts.items():
            if text != _text_of(folder / name):
                (unfinished / name).write_text(text, encoding="utf-8", errors="surrogateescape")


def _text_of(path: Path) -> str:
    """Return the content of a text file of any encoding; "" where there is none."""
    return path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""


def _ignored() -> list[str]:
    """Return the lines of .bidsignore: files that BIDS does not name, and the cohort's tables."""
    folders = [f"{row.name}/" for row in MODALITIES.values() if not row.in_bids]
    return [*(f"**/{pattern}" for pattern in (*folders, *NAMES_OUTSIDE_BIDS)), "summary.*", "logs/"]


def sidecar_names(names: Names) -> list[str]:
    """Return the names that the JSON sidecars of a case's volumes and transforms may have."""
    return [sidecar_name(getattr(names, what)) for what in DESCRIBED]


def sidecar_name(name: str) -> str:
    """Return the name of a file's JSON sidecar."""
    return f"{name.split('.')[0]}.json"


def write_sidecars(case: Case, folder: Path, report: dict[str, Any]) -> None:
    """Write the JSON sidecars of a case's volumes and transforms, of those that it has.

    Args:
        case: The case.
        folder: The folder of its files.
        report: The content of its report.json.
    """
    sources, doubt = _sources(case), doubt_of(report)
    for what, description in _descriptions(case, report).items():
        name = getattr(case.names, what)
        if not (folder / name).exists():
            continue
        # SkullStripped is required; nothing is stripped here.
        text = f"{description['Description']}. {doubt}" if doubt else description["Description"]
        content = {**sources[what], "SkullStripped": False, **description, "Description": text}
        sidecar = folder / sidecar_name(name)
        times = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.exists() else {}  # of frames
        content = {key: value for key, value in content.items() if value not in (None, "", [])}
        write_json({**content, **times}, sidecar)


def update_sources(case: Case, folder: Path) -> None:
    """Write those sidecars of a finished case again that name its sources relative to an earlier root of the cohort.

    Args:
        case: The case.
        folder: The folder of its files.

    Raises:
        FusionError: The folder cannot be written to.
    """
    changed = {}
    for what, sources in _sources(case).items():
        sidecar = folder / sidecar_name(getattr(case.names, what))
        try:
            stored = json.loads(sidecar.read_text(encoding="utf-8"))
            current = {key: sources.get(key, value) for key, value in stored.items()}
        except (OSError, ValueError, AttributeError):  # not there, or damaged
            continue
        if current != stored:
            changed[sidecar.name] = current
    if changed:
        with written_whole(folder) as unfinished:
            for name, content in changed.items():
                write_json(content, unfinished / name)


def _sources(case: Case) -> dict[str, dict[str, Any]]:
    """Return what the sidecars say of the volumes that a file was made from, by the fields of `Names`."""
    fixed, moving = case.sources
    both, moving_alone = ([source for source in sources if source] for sources in (case.sources, (moving,)))
    of_both, of_moving = ({"SpatialReference": fixed, "Sources": sources} for sources in (both, moving_alone))
    transform = {"SpatialReference": fixed, "FromFile": moving, "ToFile": fixed}
    return {
        **dict.fromkeys(("fused", "overlay", "expected_error"), of_both),
        **dict.fromkeys(("registered", "frames"), of_moving),
        **dict.fromkeys(("deformation", "rigid", "network"), transform),
    }


def _descriptions(case: Case, report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what else the sidecars say, by the fields of `Names`."""
    dicom = report.get("dicom", {})
    place = {key: dicom.get("fixed", {}).get(key) for key in ("FrameOfReferenceUID",)}
    unit = {"Units": report.get("unit")}
    kind = case.pair.modality.upper()
    return {
        "fused": {"Description": f"The MRI fused with the {kind} that was aligned to it, on the MRI's grid", **place},
        "overlay": {
            "Description": f"The {kind} in colors ({report['overlay']['color_map']}) over the MRI, on the MRI's grid",
            **place,
        },
        "registered": {
            "Description": f"The {kind}, aligned to the MRI and resampled onto its grid",
            **place,
            **unit,
        },
        "deformation": {
            "Description": "MRI point to moving point, mm, LPS: a displacement grid, then the rigid transform (ITK)"
        },
        "rigid": {"Description": "The rigid transform alone, mm, LPS (ITK); it follows the network's part"},
        "network": {"Description": "What the network adds, mm, LPS (ITK); it acts before the rigid transform"},
        "expected_error": {
            "Description": "Expected distance between where a point is carried and where it belongs, on a coarse grid"
            + ("; it holds only if the result is right" if doubt_of(report) else ""),
            "Units": "mm",
            **place,
        },
        "frames": {
            "Description": f"Every frame of the {kind}, carried by the one transform onto the MRI's grid",
            **place,
            **unit,
        },
    }
