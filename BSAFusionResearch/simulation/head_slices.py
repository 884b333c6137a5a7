"""Cut aligned slice pairs from simulated patients, as the pipeline shows them to the network."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.files.atomic import written_whole
from BSAFusionLib.pipeline.network_input import NetworkInput, make_network_input
from BSAFusionLib.settings import Settings
from BSAFusionResearch.simulation.anatomy import Anatomy, build_anatomy
from BSAFusionResearch.simulation.heads import TRAINING_HEADS, head_files, patient_number, read_head
from BSAFusionResearch.simulation.origins import file_hashes
from BSAFusionResearch.simulation.patient import scan_patient
from BSAFusionResearch.simulation.settings import MODALITIES, PatientSettings

SIDE = 256
CONTRASTS = {"t1": 0.6, "t2": 0.12, "flair": 0.12, "pd": 0.06, "random": 0.1}
LESIONS = {"none": 0.7, "tumor": 0.1, "infarct": 0.1, "craniotomy": 0.1}
MAX_SHAPE_MM, SIZES, MAX_ATROPHY_MM = 12.0, (0.9, 1.1), 3.0
NOISY_SHARE = 0.2
ARRAYS = ("mri", "moving", "id", "split")  # that load_pairs reads


def draw_anatomy(labels: sitk.Image, seed: int) -> Anatomy:
    """Change a labeled head to another person's, of other shape, size and age, sometimes with a lesion.

    Args:
        labels: Codes 0 to 27 on an upright grid.
        seed: Of all that is drawn.
    """
    random = np.random.default_rng((seed, 5))
    settings = PatientSettings(
        seed=seed,
        shape_mm=random.uniform(0, MAX_SHAPE_MM),
        size=random.uniform(*SIZES),
        atrophy_mm=random.uniform(0, MAX_ATROPHY_MM),
        lesion=_drawn(LESIONS, random),
    )
    return build_anatomy(labels, settings)


def scan_aligned(anatomy: Anatomy, modality: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scan an anatomy twice without any motion between, and cut the slices that show both scans.

    Args:
        anatomy: From `draw_anatomy`.
        modality: Of the moving scan: "ct", "pet" or "spect".
        seed: Of scanners, contrast and noise.

    Returns:
        Fixed and moving slices across all three axes of the MRI, uint8 (N, 256, 256).
    """
    random = np.random.default_rng((seed, 6, MODALITIES.index(modality)))
    settings = PatientSettings(
        modality,
        contrast=_drawn(CONTRASTS, random),
        seed=int(random.integers(2**31)),
        rotation_deg=0,
        translation_mm=0,
        elastic_mm=0,
    )
    if random.uniform() < NOISY_SHARE:
        settings = replace(settings, noise=2.0)
    patient = scan_patient(anatomy, settings)
    network_input, *_ = make_network_input(patient.fixed, patient.moving, Settings(modality=modality), SIDE)
    fixed, moving = zip(*_slices(network_input), strict=True)
    return np.concatenate(fixed), np.concatenate(moving)


def write_parts(heads: Path, head: str, number: int, folder: Path) -> None:
    """Write the slices of one simulated patient, one file a modality; those of the same head stay.

    Files that do not say which head they were made from, as earlier versions wrote them, stay, too.

    Args:
        heads: Folder of labeled heads.
        head: Which of them, such as "03".
        number: Of the patient among those made from that head.
        folder: Gets `parts/<head>-<number>-<modality>.npz`.
    """
    parts = {modality: _part(folder, head, number, modality) for modality in MODALITIES}
    (labels,) = head_files(heads, (head,))
    (hashed,) = file_hashes([labels]).values()
    missing = {modality: path for modality, path in parts.items() if not _holds(path, hashed)}
    if not missing:
        return
    seed = 1000 * int(head) + number
    anatomy = draw_anatomy(read_head(labels), seed)
    for modality, path in missing.items():
        fixed, moving = scan_aligned(anatomy, modality, seed)
        patient = patient_number(head)
        with written_whole(path.parent) as unfinished:
            np.savez_compressed(
                unfinished / path.name,
                mri=fixed,
                moving=moving,
                id=np.array([f"{1000 * patient + 100 * (number % 10) + n % 100}" for n in range(len(fixed))]),
                split=np.full(len(fixed), "train" if head in TRAINING_HEADS else "val", "<U5"),
                head_sha256=np.array(hashed),
            )


def join_parts(folder: Path, modality: str, patients: Iterable[tuple[str, int]]) -> int:
    """Join the parts of some patients to `<modality>.npz`, as `load_pairs` reads it.

    Args:
        folder: Holds the parts that `write_parts` wrote, perhaps of other patients, too.
        modality: Of the moving slices.
        patients: Head and number of each.

    Returns:
        The number of slices.
    """
    parts = [dict(np.load(_part(folder, head, number, modality))) for head, number in sorted(patients)]
    mri, moving, ids, split = (np.concatenate([part[name] for part in parts]) for name in ARRAYS)
    with written_whole(folder) as unfinished:
        np.savez_compressed(unfinished / f"{modality}.npz", mri=mri, moving=moving, id=ids, split=split)
    return len(ids)


def count_unmarked(folder: Path, patients: Iterable[tuple[str, int]]) -> int:
    """Count the files of some patients, head and number of each, that do not say which head they were made from."""
    files = [_part(folder, head, number, modality) for head, number in patients for modality in MODALITIES]
    return sum(_head_hash(path) is None for path in files if path.exists())


def _holds(path: Path, hashed: str) -> bool:
    """Decide whether a part is there and not of another head."""
    return path.exists() and _head_hash(path) in (None, hashed)


def _head_hash(path: Path) -> str | None:
    """Return the SHA-256 of the label file that a part was made from; None where it does not say."""
    with np.load(path) as content:
        return str(content["head_sha256"]) if "head_sha256" in content else None


def _part(folder: Path, head: str, number: int, modality: str) -> Path:
    return folder / "parts" / f"{head}-{number:03d}-{modality}.npz"


def _slices(network_input: NetworkInput) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield fixed and moving slices of each axis."""
    for axis in range(3):
        fixed, moving = network_input.stack(network_input.registration_grid(axis, SIDE)).filled_pairs()
        yield (255 * fixed).round().astype(np.uint8), (255 * moving).round().astype(np.uint8)


def _drawn(choices: dict[str, float], random: np.random.Generator) -> str:
    return str(random.choice(list(choices), p=list(choices.values())))
