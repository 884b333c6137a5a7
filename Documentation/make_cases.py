"""Runs the worked cases of the user guide and puts what they print into it.

    .venv/bin/python Documentation/make_cases.py VOLUMES

VOLUMES is a folder with `mri_t1.nii.gz` (the T1 template of SPM12) and `ct.nii.gz` (the CT template of the Clinical
Toolbox for SPM, on the same grid). To be run again whenever weights or pipeline change; takes some minutes on a CPU.
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

from BSAFusionLib.commands._case import line  # noqa: E402
from BSAFusionLib.geometry.fields import error_mm  # noqa: E402
from BSAFusionLib.pipeline.intensities import head_mask  # noqa: E402
from BSAFusionResearch.evaluation.known_motion import KnownMotion  # noqa: E402

guide = folder / "user-guide.md"
sample_data = repository / "Resources" / "SampleData"
motion = KnownMotion(seed=1, degrees=10.0, mm=12.0, elastic_mm=5.0)  # the sample data's own
spect_mm = 10.0  # full width at half maximum that the sample PET, of 6 mm, is blurred by: about 12 mm together


def main() -> None:
    volumes = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        printed = {
            "pet": run("demo", "--out", work / "pet"),
            "ct": ct_case(volumes, work),
            "spect": spect_case(work),
        }
        shutil.copyfile(work / "spect" / "preview.png", folder / "spect.png")
    text = guide.read_text(encoding="utf-8")
    for name, lines in printed.items():
        mark = f"<!-- what the {name} case prints -->"
        before, after = text.split(mark)
        _, _, rest = after.split("```\n", 2)
        text = f"{before}{mark}\n\n```\n{lines}```\n{rest}"
    guide.write_text(text, encoding="utf-8")


def ct_case(volumes: Path, work: Path) -> str:
    """The CT template, moved, to the T1 template that it belongs to."""
    fixed, ct = (sitk.ReadImage(str(volumes / name), sitk.sitkFloat32) for name in ("mri_t1.nii.gz", "ct.nii.gz"))
    sitk.WriteImage(motion.move(ct, fixed), str(work / "ct_moved.nii.gz"))
    printed = run("fuse", volumes / "mri_t1.nii.gz", work / "ct_moved.nii.gz", "--modality", "ct", "--out", work / "ct")
    return printed + true_errors(fixed, work / "ct")


def spect_case(work: Path) -> str:
    """The sample PET as a SPECT camera would resolve it, to the sample MRI."""
    pet = sitk.ReadImage(str(sample_data / "pet_fdg.nii.gz"), sitk.sitkFloat32)
    sitk.WriteImage(sitk.SmoothingRecursiveGaussian(pet, spect_mm / 2.355), str(work / "spect_like.nii.gz"))
    mri = sample_data / "mri_t1.nii.gz"
    printed = run("fuse", mri, work / "spect_like.nii.gz", "--modality", "spect", "--out", work / "spect")
    return printed + true_errors(sitk.ReadImage(str(mri)), work / "spect")


def run(*arguments: str | Path) -> str:
    """What the command prints, but for where its results went."""
    command = [sys.executable, "-m", "BSAFusionLib", *map(str, arguments)]
    done = subprocess.run(command, cwd=repository, stdout=subprocess.PIPE, text=True, check=True)
    return "".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith("results in"))


def true_errors(fixed: sitk.Image, results: Path) -> str:
    """The line that the demo ends in, for a result whose motion is ours."""
    truth, head = motion.transform(fixed), head_mask(fixed)
    whole = sitk.CompositeTransform(sitk.ReadTransform(str(results / "deformation.h5")))
    errors = {
        "before": error_mm(sitk.Transform(), truth, head),
        "prealigned": error_mm(whole.GetNthTransform(0), truth, head),
        "after": error_mm(whole, truth, head),
    }
    return line("True error", ", ".join(f"{name} {error:.2f}" for name, error in errors.items()) + " mm\n")


if __name__ == "__main__":
    main()
