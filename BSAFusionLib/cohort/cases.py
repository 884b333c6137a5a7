"""Read the cases of a cohort from a table or a BIDS folder."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from BSAFusionLib.cohort.tables import read_table
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.scan import is_dicom_path
from BSAFusionLib.files.inputs import Pair
from BSAFusionLib.files.outputs import Names
from BSAFusionLib.modalities import MODALITIES, listed

REQUIRED_COLUMNS = ("case", "fixed", "moving", "modality")
SERIES_COLUMNS = ("fixed_series", "moving_series")
MRI_SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "T2star")  # of BIDS, in order of preference


@dataclass(frozen=True)
class Case:
    """One case of a cohort.

    Attributes:
        pair: The files of its volumes.
        entities: BIDS entities that identify it, such as "sub-01", "ses-1", "trc-FDG".
        space: BIDS label of the fixed volume's space, for file names.
        sources: Fixed and moving volume as BIDS URIs relative to the dataset or table; "" for DICOM, whose folders may
            be named after the patient.
    """

    pair: Pair
    entities: tuple[str, ...]
    space: str
    sources: tuple[str, str]

    @property
    def name(self) -> str:
        """Name of the case, unique in its cohort."""
        return f"{'_'.join(self.entities)}_{self.pair.modality}"

    @property
    def folder(self) -> PurePosixPath:
        """Folder of its results, relative to that of the cohort's results."""
        above = [entity for entity in self.entities if entity.startswith(("sub-", "ses-"))]
        return PurePosixPath(*above, self.pair.modality)

    @property
    def names(self) -> Names:
        """File names of its results, as BIDS derivatives."""
        stem, modality = "_".join(self.entities), self.pair.modality
        return Names(
            fused=f"{stem}_space-{self.space}_desc-fused_{modality}.nii.gz",
            overlay=f"{stem}_space-{self.space}_desc-overlay_{modality}.nii.gz",
            registered=f"{stem}_space-{self.space}_desc-registered_{modality}.nii.gz",
            deformation=f"{stem}_from-{modality}_to-{self.space}_mode-image_xfm.h5",
            rigid=f"{stem}_from-{modality}_to-{self.space}_mode-image_desc-rigid_xfm.tfm",
            network=f"{stem}_from-{modality}_to-{self.space}_mode-image_desc-network_xfm.h5",
            expected_error=f"{stem}_space-{self.space}_desc-expectedError_{modality}.nii.gz",
            report=f"{stem}_desc-{modality}fusion_report.json",
            page=f"{stem}_desc-{modality}fusion_report.html",
            preview=f"{stem}_desc-{modality}fusion_preview.png",
        )


def read_cohort(path: Path) -> list[Case]:
    """Read the cases of a cohort.

    Args:
        path: A CSV table or a BIDS folder.

    Raises:
        FusionError: There is no case, or a row of the table is invalid.
    """
    if path.is_dir():
        cases = _bids_cases(path)
    elif path.is_file():
        cases = _table_cases(path)
    else:
        raise FusionError(f"There is no {path}; give a CSV table or a BIDS folder.")
    names: set[str] = set()
    for case in cases:
        if case.name in names:
            raise FusionError(f"There are two cases {case.name} in {path}; give each a different name.")
        names.add(case.name)
    return cases


def _table_cases(path: Path) -> list[Case]:
    """Read a CSV file with the columns case, fixed, moving, modality and, optionally, fixed_series, moving_series.

    Paths are relative to the table's folder. The letters and digits of a case's name make its BIDS label.
    """
    rows = read_table(path)
    if not rows:
        raise FusionError(f"The table {path} has no cases; add one per row, below {','.join(REQUIRED_COLUMNS)}.")
    cases = []
    for number, row in enumerate(rows, start=2):
        values = {name: row.get(name, "") for name in (*REQUIRED_COLUMNS, *SERIES_COLUMNS)}
        missing = [name for name in REQUIRED_COLUMNS if not values[name]]
        if missing:
            raise FusionError(
                f"Row {number} of {path} lacks {' and '.join(missing)}; the columns are {', '.join(REQUIRED_COLUMNS)}."
            )
        modality = values["modality"].lower()
        if modality not in MODALITIES:
            raise FusionError(
                f"Row {number} of {path} has the modality {values['modality']!r}; "
                f"choose one of {', '.join(MODALITIES)}."
            )
        label = re.sub("[^A-Za-z0-9]", "", values["case"])
        if not label:
            raise FusionError(f"Row {number} of {path} has the case name {values['case']!r}; use letters or digits.")
        fixed, moving = (path.parent / values[role] for role in ("fixed", "moving"))
        series = [values[name] or None for name in SERIES_COLUMNS]
        cases.append(
            Case(
                Pair(fixed, moving, modality, *series),
                (f"sub-{label}",),
                "MRI",
                (_source(fixed, values["fixed"]), _source(moving, values["moving"])),
            )
        )
    return cases


def _source(path: Path, given: str) -> str:
    """Return a volume's BIDS URI; "" for DICOM."""
    return "" if is_dicom_path(path) else f"bids:raw:{given}"


def _bids_cases(folder: Path) -> list[Case]:
    """Pair every CT, PET and SPECT of a BIDS dataset with an MRI of its session, else of its subject.

    BIDS does not define CT and SPECT yet; files ending in _ct and _spect are used. Derivatives are ignored.
    """
    try:
        from ancpbids.pybids_compat import BIDSLayout
    except ImportError as error:
        raise FusionError(
            "Reading a BIDS folder needs the package ancpbids; install it with: pip install 'bsafusion[cluster]', or "
            "give a CSV table."
        ) from error

    layout: Any = BIDSLayout(str(folder))
    files = layout.get(suffix=[*MRI_SUFFIXES, *MODALITIES], extension=[".nii.gz", ".nii"])
    paths = [Path(file.get_absolute_path()).relative_to(folder.resolve()).as_posix() for file in files]
    found = sorted(
        (pair for pair in zip(paths, files, strict=True) if pair[0].startswith("sub-")), key=lambda pair: pair[0]
    )
    mris = [(path, file) for path, file in found if file.suffix in MRI_SUFFIXES]
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
    """Return the sort key of an MRI: same session, contrast, name."""
    path, file = mri
    return file.entities.get("ses") != moving.entities.get("ses"), MRI_SUFFIXES.index(file.suffix), path
