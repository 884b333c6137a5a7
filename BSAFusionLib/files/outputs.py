"""Names of the files that a case's results are written to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """File names in the folder of a case, by default those of `fuse`; the ending chooses the format."""

    fused: str = "fused.nrrd"
    registered: str = "registered.nrrd"
    deformation: str = "deformation.h5"
    report: str = "report.json"
    page: str = "report.html"
    preview: str = "preview.png"
