"""The cases of a cohort, those that were left out, and the choice of some by their labels."""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.recognize import is_dicom_path
from BSAFusionLib.files.inputs import VOLUME_SUFFIXES, Pair
from BSAFusionLib.files.outputs import Names

MOST_LISTED = 10  # names in a message


class TableRow(NamedTuple):
    """A case as a table names it.

    Attributes:
        case: Its name.
        fixed: Path of the fixed volume.
        moving: Path of the moving volume.
    """

    case: str
    fixed: str
    moving: str


@dataclass(frozen=True)
class Case:
    """One case of a cohort.

    Attributes:
        pair: The files of its volumes.
        entities: BIDS entities that identify it, such as "sub-01", "ses-1", "trc-FDG".
        space: BIDS label of the fixed volume's space, for file names.
        sources: Fixed and moving volume as BIDS URIs relative to the cohort's root; "" for DICOM, whose folders may be
            named after the patient.
        remark: What a user should know about the choice of its volumes, a sentence, or "".
        row: Its row in a table; None for a case of a BIDS folder.
    """

    pair: Pair
    entities: tuple[str, ...]
    space: str
    sources: tuple[str, str]
    remark: str = ""
    row: TableRow | None = None

    @property
    def name(self) -> str:
        """Name of the case, unique in its cohort."""
        return f"{'_'.join(self.entities)}_{self.pair.modality}"

    @property
    def title(self) -> str:
        """Name of the case, after the one that a table gives it."""
        return self.name if self.row is None else f"{self.row.case} ({self.name})"

    @property
    def shown_sources(self) -> tuple[str, str]:
        """Fixed and moving volume as the user knows them: as the table names them, or as BIDS URIs."""
        named = self.sources if self.row is None else (self.row.fixed, self.row.moving)
        # A DICOM folder may be named after the patient.
        fixed, moving = (name if source else "a DICOM series" for name, source in zip(named, self.sources, strict=True))
        return fixed, moving

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
            frames=f"{stem}_space-{self.space}_desc-registeredFrames_{modality}.nii.gz",
            frame_times=f"{stem}_space-{self.space}_desc-registeredFrames_{modality}.json",
            report=f"{stem}_desc-{modality}fusion_report.json",
            page=f"{stem}_desc-{modality}fusion_report.html",
            preview=f"{stem}_desc-{modality}fusion_preview.png",
        )


@dataclass(frozen=True)
class LeftOut:
    """A subject, or one of its scans, without a pair that could be registered.

    Attributes:
        name: Its BIDS entities and, of a scan, the modality: "sub-03", "sub-03_ses-1_pet".
        reason: Why, a clause such as "no MRI of this subject".
    """

    name: str
    reason: str

    @property
    def entities(self) -> tuple[str, ...]:
        """BIDS entities of its name."""
        return tuple(part for part in self.name.split("_") if "-" in part)


@dataclass(frozen=True)
class Cohort:
    """The cases of a table or BIDS folder.

    Attributes:
        cases: What can be registered.
        left_out: What cannot.
        root: The folder that the cases' sources are relative to.
        remark: What a user should know about the table, or "".
    """

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...]
    root: Path
    remark: str = ""

    def choose(self, participants: Collection[str], sessions: Collection[str]) -> "Cohort":
        """Return the cases of some participants and sessions.

        Args:
            participants: Labels, with or without "sub-"; all where there are none.
            sessions: Labels, with or without "ses-"; all where there are none.

        Raises:
            FusionError: A label occurs nowhere in the cohort.
        """
        chosen = self
        for prefix, labels, what in (("sub-", participants, "participant"), ("ses-", sessions, "session")):
            wanted = {prefix + label.removeprefix(prefix) for label in labels}
            known = {entity for case in self.cases for entity in case.entities}
            known |= {entity for item in self.left_out for entity in item.entities}
            if unknown := sorted(wanted - known):
                there = sorted(entity for entity in known if entity.startswith(prefix))
                raise FusionError(
                    f"The cohort has no {what} {shortened(unknown)}; choose from: {shortened(there) or 'none'}."
                )
            if wanted:
                cases = tuple(case for case in chosen.cases if wanted & {*case.entities})
                left_out = tuple(item for item in chosen.left_out if wanted & {*item.entities})
                chosen = replace(chosen, cases=cases, left_out=left_out)
        return chosen


def check_paths(cases: Iterable[Case]) -> None:
    """Check that the volumes of all cases are there and may be read.

    Raises:
        FusionError: Some are not; the message lists them.
    """
    missing = []
    for case in cases:
        for role, path in case.pair.paths().items():
            if not os.access(path, os.R_OK):
                # Another path may be a DICOM folder that is named after the patient.
                named = f" {path}" if path.name.lower().endswith(VOLUME_SUFFIXES) else ""
                missing.append(f"{case.name}, {role}{named}")
    if missing:
        raise FusionError(
            f"{len(missing)} of the cohort's volumes cannot be read, so nothing was computed: "
            f"{shortened(missing, '; ')}. Correct these paths, fetch the files, or give --participant-label."
        )


def shortened(names: Collection[str], separator: str = ", ") -> str:
    """Return names as in a sentence; of many the first ones and their number."""
    shown = separator.join([*names][:MOST_LISTED])
    return f"{shown} and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else shown


def source_uri(path: Path, root: Path) -> str:
    """Return the BIDS URI of a volume in or below the folder `root`, else its file URI; "" for DICOM."""
    if is_dicom_path(path):
        return ""
    path = Path(os.path.abspath(path))
    if not path.is_relative_to(root):
        return path.as_uri()
    return f"bids:raw:{quote(os.fsencode(path.relative_to(root).as_posix()))}"
