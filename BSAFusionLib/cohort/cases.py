"""The cases of a cohort, from a table or from a BIDS folder."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.scan import is_dicom_path
from BSAFusionLib.files.inputs import Pair
from BSAFusionLib.files.outputs import Names
from BSAFusionLib.modalities import MODALITIES, listed

needed_columns = ("case", "fixed", "moving", "modality")
series_columns = ("fixed_series", "moving_series")
mri_suffixes = ("T1w", "T2w", "FLAIR", "PDw", "T2star")  # of BIDS, the first that a session has is taken


@dataclass(frozen=True)
class Case:
    """One case of a cohort.

    entities: of BIDS, "sub-01", "ses-1", "trc-FDG": what tells its files from those of other cases.
    space: label of the fixed volume's space in the names of results.
    sources: the fixed and the moving volume as BIDS URIs, relative to the dataset or table they were found in; "" for
        DICOM, whose folders may be called after the patient.
    """

    pair: Pair
    entities: tuple[str, ...]
    space: str
    sources: tuple[str, str]

    @property
    def name(self) -> str:
        """What the case is called; no two of a cohort share it."""
        return f"{'_'.join(self.entities)}_{self.pair.modality}"

    @property
    def folder(self) -> PurePosixPath:
        """Where its results go, below the folder of the cohort's results."""
        above = [entity for entity in self.entities if entity.startswith(("sub-", "ses-"))]
        return PurePosixPath(*above, self.pair.modality)

    @property
    def names(self) -> Names:
        """Its results as BIDS derivatives."""
        stem, modality = "_".join(self.entities), self.pair.modality
        return Names(
            fused=f"{stem}_space-{self.space}_desc-fused_{modality}.nii.gz",
            registered=f"{stem}_space-{self.space}_desc-registered_{modality}.nii.gz",
            deformation=f"{stem}_from-{modality}_to-{self.space}_mode-image_xfm.h5",
            report=f"{stem}_desc-{modality}fusion_report.json",
            page=f"{stem}_desc-{modality}fusion_report.html",
            preview=f"{stem}_desc-{modality}fusion_preview.png",
        )


def read_cohort(path: Path) -> list[Case]:
    """The cases of a CSV table or of a BIDS folder; FusionError where there are none, or where a row will not do."""
    if path.is_dir():
        cases = _bids_cases(path)
    elif path.is_file():
        cases = _table_cases(path)
    else:
        raise FusionError(f"There is no {path}; give a CSV table or a BIDS folder.")
    seen: set[str] = set()
    for case in cases:
        if case.name in seen:
            raise FusionError(f"There are two cases {case.name} in {path}; give each a name of its own.")
        seen.add(case.name)
    return cases


def _table_cases(path: Path) -> list[Case]:
    """Rows of a CSV file with the columns case, fixed, moving, modality, and if needed fixed_series, moving_series.

    Paths are relative to the table's folder. Of a case's name, letters and digits make the BIDS label.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FusionError(f"The table {path} cannot be read as CSV in UTF-8; save it anew.") from error
    if not rows:
        raise FusionError(f"The table {path} has no cases; give it one a row, below {','.join(needed_columns)}.")
    cases = []
    for number, row in enumerate(rows, start=2):
        values = {name: (row.get(name) or "").strip() for name in (*needed_columns, *series_columns)}
        missing = [name for name in needed_columns if not values[name]]
        if missing:
            raise FusionError(
                f"Row {number} of {path} lacks {' and '.join(missing)}; the columns are {', '.join(needed_columns)}."
            )
        if values["modality"] not in MODALITIES:
            raise FusionError(
                f"Row {number} of {path} has the modality {values['modality']!r}; "
                f"choose one of {', '.join(MODALITIES)}."
            )
        label = re.sub("[^A-Za-z0-9]", "", values["case"])
        if not label:
            raise FusionError(f"Row {number} of {path} has a case without a letter or digit; call it something.")
        fixed, moving = (path.parent / values[role] for role in ("fixed", "moving"))
        series = [values[name] or None for name in series_columns]
        cases.append(
            Case(
                Pair(fixed, moving, values["modality"], *series),
                (f"sub-{label}",),
                "MRI",
                (_source(fixed, values["fixed"]), _source(moving, values["moving"])),
            )
        )
    return cases


def _source(path: Path, given: str) -> str:
    return "" if is_dicom_path(path) else f"bids:raw:{given}"


def _bids_cases(folder: Path) -> list[Case]:
    """Every CT, PET and SPECT of a BIDS dataset that has an MRI: of its session, else of its subject's first with one.

    CT and SPECT have no place in BIDS yet; files ending in _ct and _spect are taken for them. Derivatives are left out.
    """
    from ancpbids.pybids_compat import BIDSLayout

    layout: Any = BIDSLayout(str(folder))
    files = layout.get(suffix=[*mri_suffixes, *MODALITIES], extension=[".nii.gz", ".nii"])
    paths = [Path(file.get_absolute_path()).relative_to(folder.resolve()).as_posix() for file in files]
    found = sorted(
        (pair for pair in zip(paths, files, strict=True) if pair[0].startswith("sub-")), key=lambda pair: pair[0]
    )
    mris = [(path, file) for path, file in found if file.suffix in mri_suffixes]
    cases = []
    for path, file in found:
        if file.suffix not in MODALITIES:
            continue
        own = [mri for mri in mris if mri[1].entities["sub"] == file.entities["sub"]]
        own.sort(key=lambda mri: _fitness(mri, file))
        if own:
            mri_path, mri = own[0]
            cases.append(
                Case(
                    Pair(folder / mri_path, folder / path, file.suffix),
                    tuple(f"{key}-{value}" for key, value in file.entities.items()),
                    mri.suffix,
                    (f"bids:raw:{mri_path}", f"bids:raw:{path}"),
                )
            )
    if not cases:
        raise FusionError(
            f"The folder {folder} has no MRI with a {listed()} of the same subject, named as in BIDS "
            "(sub-01/anat/sub-01_T1w.nii.gz, sub-01/pet/sub-01_pet.nii.gz); give another, or a CSV table."
        )
    return cases


def _fitness(mri: tuple[str, Any], moving: Any) -> tuple[bool, int, str]:
    """What an MRI is sorted by: the same session, the contrast, the name."""
    path, file = mri
    return file.entities.get("ses") != moving.entities.get("ses"), mri_suffixes.index(file.suffix), path
