"""Run the worked cases of the user guide; write their output into it, and the pictures of PET and SPECT beside it.

    .venv/bin/python Documentation/make_cases.py VOLUMES

VOLUMES is a folder with `mri_t1.nii.gz` (the T1 template of SPM12) and `ct.nii.gz` (the CT template of the Clinical
Toolbox for SPM, on the same grid). Run it again whenever weights or pipeline change; it takes some minutes on a CPU.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import SimpleITK as sitk

folder = Path(__file__).resolve().parent
repository = folder.parent
sys.path.insert(0, str(repository))

from BSAFusionLib.geometry.fields import error_mm  # noqa: E402
from BSAFusionLib.pipeline.intensities import head_mask  # noqa: E402
from BSAFusionLib.pipeline.summary import line  # noqa: E402
from BSAFusionResearch.evaluation.known_motion import KnownMotion  # noqa: E402

guide = folder / "user-guide.md"
sample_data = repository / "Resources" / "SampleData"
MOTION = KnownMotion(seed=1, degrees=10.0, mm=12.0, elastic_mm=5.0)  # that of the sample data
SPECT_FWHM_MM = 10.0  # of the blur; with the 6 mm of the sample PET it gives about 12 mm


def main() -> None:
    volumes = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        printed = {
            "pet": run("demo", "--out", work / "pet"),
            "ct": ct_case(volumes, work),
            "spect": spect_case(work),
        }
        shutil.copyfile(work / "pet" / "preview.png", repository / "Resources" / "Screenshots" / "preview.png")
        shutil.copyfile(work / "spect" / "preview.png", folder / "spect.png")
    text = guide.read_text(encoding="utf-8")
    for name, lines in printed.items():
        mark = f"<!-- what the {name} case prints -->"
        before, after = text.split(mark)
        _, _, rest = after.split("```\n", 2)
        text = f"{before}{mark}\n\n```\n{lines}```\n{rest}"
    guide.write_text(text, encoding="utf-8")


def ct_case(volumes: Path, work: Path) -> str:
    """Register the CT template, moved, to its T1 template; return what is printed."""
    fixed, ct = (sitk.ReadImage(str(volumes / name), sitk.sitkFloat32) for name in ("mri_t1.nii.gz", "ct.nii.gz"))
    sitk.WriteImage(MOTION.move(ct, fixed), str(work / "ct_moved.nii.gz"))
    printed = run("fuse", volumes / "mri_t1.nii.gz", work / "ct_moved.nii.gz", "--modality", "ct", "--out", work / "ct")
    return printed + true_errors(fixed, work / "ct")


def spect_case(work: Path) -> str:
    """Register the sample PET, blurred like a SPECT, to the sample MRI; return what is printed."""
    pet = sitk.ReadImage(str(sample_data / "pet_fdg.nii.gz"), sitk.sitkFloat32)
    sitk.WriteImage(sitk.SmoothingRecursiveGaussian(pet, SPECT_FWHM_MM / 2.355), str(work / "spect_like.nii.gz"))
    mri = sample_data / "mri_t1.nii.gz"
    printed = run("fuse", mri, work / "spect_like.nii.gz", "--modality", "spect", "--out", work / "spect")
    return printed + true_errors(sitk.ReadImage(str(mri)), work / "spect")


def run(*arguments: str | Path) -> str:
    """Run a command; return what it prints, without the folder of its results and the machine's time."""
    command = [sys.executable, "-m", "BSAFusionLib", *map(str, arguments)]
    done = subprocess.run(command, cwd=repository, stdout=subprocess.PIPE, text=True, check=True)
    lines = done.stdout.splitlines(keepends=True)
    return "".join(printed for printed in lines if not printed.startswith(("results in", "Time ")))


def true_errors(fixed: sitk.Image, results: Path) -> str:
    """Return the last line of the demo for a result of `MOTION`."""
    truth, head = MOTION.transform(fixed), head_mask(fixed)
    whole = sitk.CompositeTransform(sitk.ReadTransform(str(results / "deformation.h5")))
    errors = {
        "before": error_mm(sitk.Transform(), truth, head),
        "prealigned": error_mm(whole.GetNthTransform(0), truth, head),
        "after": error_mm(whole, truth, head),
    }
    return line("True error", ", ".join(f"{name} {error:.2f}" for name, error in errors.items()) + " mm\n")


if __name__ == "__main__":
    main()
