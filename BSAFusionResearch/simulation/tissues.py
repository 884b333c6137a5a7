"""The tissues of a labeled head and their values in each kind of scan: plain data, one row per tissue.

Codes 0 to 27 are those of the label files. Codes from 28 on exist in the simulation only: the two halves of code 22,
lesions, and organs of a torso.
"""

from typing import NamedTuple


class Tissue(NamedTuple):
    """One tissue: its name, and its value in each kind of scan.

    MRI values are fractions of full scale, CT values are Hounsfield units, and PET and SPECT values are activities
    relative to the gray matter of a healthy brain (FDG, perfusion), to white matter (amyloid), to the inferior temporal
    cortex of a patient (tau) or to the striatum (dopamine).
    """

    name: str
    t1: float
    t2: float
    flair: float
    pd: float
    ct: float
    fdg: float
    amyloid: float
    tau: float
    dopamine: float
    perfusion: float


# T1, T2, FLAIR, CT, FDG and perfusion of the main tissues gave convincing scans by eye; the
# others are typical of published atlases and clinical scans, and only their order matters.
# fmt: off
TISSUES = (
    #                                    t1    t2   flair  pd     ct   fdg   amyl  tau   dopa  perf
    Tissue("air",                       0.00, 0.00, 0.00, 0.00, -1000, 0.00, 0.00, 0.00, 0.00, 0.00),  # 0
    Tissue("cerebral white matter",     0.85, 0.40, 0.52, 0.70,    30, 0.27, 1.00, 0.45, 0.12, 0.38),
    Tissue("cerebral cortex",           0.55, 0.58, 0.68, 0.85,    38, 1.00, 0.85, 0.75, 0.18, 1.00),
    Tissue("cerebellar white matter",   0.85, 0.40, 0.52, 0.70,    30, 0.27, 0.90, 0.42, 0.12, 0.38),
    Tissue("cerebellar cortex",         0.55, 0.58, 0.68, 0.85,    38, 0.80, 0.48, 0.45, 0.14, 1.05),
    Tissue("thalamus",                  0.70, 0.46, 0.58, 0.78,    37, 0.95, 0.80, 0.60, 0.28, 0.95),  # 5
    Tissue("caudate",                   0.62, 0.48, 0.64, 0.82,    37, 0.95, 0.70, 0.70, 1.00, 0.95),
    Tissue("putamen",                   0.64, 0.44, 0.62, 0.79,    37, 0.95, 0.75, 0.80, 1.00, 0.95),
    Tissue("pallidum",                  0.74, 0.32, 0.52, 0.72,    40, 0.60, 0.80, 0.90, 0.70, 0.60),
    Tissue("hippocampus",               0.57, 0.60, 0.72, 0.86,    37, 0.70, 0.60, 0.70, 0.22, 0.70),
    Tissue("amygdala",                  0.57, 0.60, 0.72, 0.86,    37, 0.65, 0.60, 0.72, 0.24, 0.65),  # 10
    Tissue("accumbens",                 0.61, 0.50, 0.65, 0.82,    37, 0.90, 0.72, 0.72, 0.90, 0.90),
    Tissue("ventral diencephalon",      0.74, 0.42, 0.56, 0.75,    34, 0.55, 0.85, 0.60, 0.40, 0.60),
    Tissue("brain stem",                0.78, 0.43, 0.55, 0.74,    31, 0.48, 0.95, 0.48, 0.22, 0.55),
    Tissue("ventricles",                0.12, 1.00, 0.08, 0.95,     8, 0.05, 0.08, 0.08, 0.05, 0.05),
    Tissue("cerebrospinal fluid",       0.12, 1.00, 0.08, 0.95,     8, 0.05, 0.08, 0.08, 0.05, 0.05),  # 15
    Tissue("white-matter lesion",       0.60, 0.78, 0.95, 0.92,    22, 0.20, 0.70, 0.40, 0.10, 0.28),
    Tissue("artery",                    0.30, 0.10, 0.12, 0.30,    45, 0.15, 0.15, 0.15, 0.12, 0.20),
    Tissue("vein",                      0.32, 0.16, 0.20, 0.35,    45, 0.15, 0.18, 0.18, 0.12, 0.20),
    Tissue("optic nerve",               0.78, 0.42, 0.52, 0.70,    32, 0.22, 0.60, 0.35, 0.10, 0.25),
    Tissue("eye",                       0.15, 0.98, 0.25, 0.93,    10, 0.05, 0.06, 0.10, 0.04, 0.05),  # 20
    Tissue("eye muscles",               0.45, 0.34, 0.38, 0.64,    50, 0.45, 0.20, 0.25, 0.10, 0.30),
    Tissue("fat and muscle",            0.68, 0.52, 0.60, 0.68,   -20, 0.11, 0.14, 0.14, 0.08, 0.11),
    Tissue("mucosa",                    0.50, 0.85, 0.80, 0.85,    40, 0.30, 0.30, 0.35, 0.15, 0.30),
    Tissue("skin",                      0.48, 0.36, 0.42, 0.60,    40, 0.10, 0.15, 0.15, 0.08, 0.12),
    Tissue("spinal cord",               0.78, 0.44, 0.55, 0.74,    33, 0.40, 0.85, 0.40, 0.12, 0.40),  # 25
    Tissue("cortical bone",             0.06, 0.05, 0.05, 0.05,   950, 0.05, 0.06, 0.10, 0.03, 0.04),
    Tissue("marrow",                    0.60, 0.50, 0.60, 0.50,   380, 0.18, 0.22, 0.25, 0.10, 0.15),
    Tissue("fat",                       0.95, 0.75, 0.85, 0.75,   -90, 0.06, 0.08, 0.08, 0.05, 0.06),
    Tissue("muscle",                    0.42, 0.30, 0.35, 0.62,    55, 0.16, 0.20, 0.20, 0.10, 0.16),
    Tissue("edema",                     0.50, 0.85, 0.95, 0.92,    20, 0.30, 0.45, 0.40, 0.10, 0.40),  # 30
    Tissue("tumor",                     0.95, 0.70, 0.85, 0.85,    45, 1.20, 0.60, 0.65, 0.20, 1.20),
    Tissue("necrosis",                  0.25, 0.95, 0.60, 0.92,    15, 0.10, 0.10, 0.10, 0.05, 0.08),
    Tissue("infarct",                   0.16, 0.98, 0.15, 0.94,    11, 0.06, 0.08, 0.10, 0.05, 0.06),
    Tissue("gliosis",                   0.52, 0.80, 0.95, 0.92,    24, 0.35, 0.50, 0.50, 0.10, 0.35),
    Tissue("scar",                      0.45, 0.45, 0.55, 0.65,    50, 0.25, 0.20, 0.20, 0.10, 0.25),  # 35
    Tissue("metal",                     0.00, 0.00, 0.00, 0.00,  3000, 0.00, 0.00, 0.00, 0.00, 0.00),
    Tissue("lung",                      0.06, 0.06, 0.06, 0.10,  -850, 0.08, 0.08, 0.08, 0.20, 0.30),
    Tissue("liver",                     0.60, 0.35, 0.40, 0.65,    60, 0.40, 1.60, 1.20, 0.60, 0.80),
    Tissue("heart",                     0.45, 0.45, 0.45, 0.70,    45, 0.80, 0.30, 0.40, 0.20, 0.40),
    Tissue("kidney",                    0.50, 0.65, 0.70, 0.80,    35, 0.90, 1.20, 1.20, 0.50, 1.20),  # 40
    Tissue("bladder",                   0.14, 1.00, 0.10, 0.95,     8, 6.00, 2.00, 2.00, 1.50, 2.00),
    Tissue("gland",                     0.62, 0.62, 0.70, 0.78,    30, 0.50, 0.60, 0.70, 0.90, 1.50),
)
# fmt: on

CODES = {tissue.name: code for code, tissue in enumerate(TISSUES)}

FILE_CODES = range(28)
"""The codes that a label file may hold; the rest appear in the simulation only."""

BRAIN_CODES = (*range(1, 15), 16)
"""The brain that errors are measured in: codes 1 to 14 (ventricles included) and white-matter lesions."""

LESION_CODES = tuple(CODES[name] for name in ("edema", "tumor", "necrosis", "infarct", "gliosis"))
"""Simulated tissue that replaces brain, and counts as brain where errors are measured."""

CONTRASTS = ("t1", "t2", "flair", "pd")
"""The contrasts of the MRI that have a column in TISSUES."""

TRACERS = {"pet": ("fdg", "amyloid", "tau", "dopamine"), "spect": ("perfusion", "dopamine")}
"""The tracers of each nuclear scan, the usual one first."""


def values_of(column: str) -> tuple[float, ...]:
    """Return one column of TISSUES, such as "t1", "ct" or "fdg", by code."""
    return tuple(getattr(tissue, column) for tissue in TISSUES)
