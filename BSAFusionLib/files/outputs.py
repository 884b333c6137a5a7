"""Names of the files that a case's results are written to."""

from dataclasses import dataclass

SCENE = "scene.mrb"  # of the demo alone
UNIT_KEY = "Unit"  # of a volume's metadata: the unit of its values
SLICES = ("fused_slice.png", "registered_slice.png")  # of a pair of PNG files alone


@dataclass(frozen=True)
class Names:
    """File names in the folder of a case, by default those of `fuse`; the ending chooses the format.

    `deformation` holds the total transform, `rigid` and `network` its two parts; where the network adds nothing, there
    is no `network`, and no grid in the other two. Without a calibration of the weights there is no `expected_error`.
    `frames` are those of a dynamic volume on the MRI's grid, and `frame_times` is their sidecar.
    """

    fused: str = "fused.nrrd"
    overlay: str = "overlay.nrrd"
    registered: str = "registered.nrrd"
    deformation: str = "deformation.h5"
    rigid: str = "rigid.tfm"
    network: str = "network.h5"
    expected_error: str = "expected_error.nrrd"
    frames: str = "registered_frames.nii.gz"
    frame_times: str = "registered_frames.json"
    report: str = "report.json"
    page: str = "report.html"
    preview: str = "preview.png"
