"""What the files that a case's results go to are called."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """File names in the folder of a case; those of `fuse` unless others are given. The ending chooses the format."""

    fused: str = "fused.nrrd"
    registered: str = "registered.nrrd"
    deformation: str = "deformation.h5"
    report: str = "report.json"
    page: str = "report.html"
    preview: str = "preview.png"
