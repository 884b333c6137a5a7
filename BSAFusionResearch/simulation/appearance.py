"""The value that each tissue has in one scan of one patient: tables by tissue code."""

import numpy as np

from BSAFusionResearch.simulation.settings import PatientSettings
from BSAFusionResearch.simulation.tissues import CODES, TISSUES, values_of

SPREAD = 0.05  # standard deviation of a tissue's value from patient to patient, as a fraction
CORTEX = (CODES["cerebral cortex"],)
STRIATUM = (CODES["caudate"], CODES["putamen"], CODES["accumbens"])


def mri_values(settings: PatientSettings, random: np.random.Generator) -> np.ndarray:
    """Draw the MRI's value of each tissue, fractions of full scale, by code; air stays dark."""
    if settings.contrast == "random":
        values = random.uniform(0.05, 1.0, len(TISSUES))
        values[CODES["air"]] = random.uniform(0, 0.05)
    else:
        values = _spread(values_of(settings.contrast), random)
    return values


def moving_values(settings: PatientSettings, random: np.random.Generator) -> np.ndarray:
    """Draw the moving scan's value of each tissue by code: HU, or activity relative to gray matter."""
    values = np.array(values_of(settings.column))
    if settings.modality == "ct":
        # Hounsfield units are calibrated: soft tissue varies by a few, bone by its density.
        values = values + random.normal(0, 1.5, len(values))
        bone = [CODES["cortical bone"], CODES["marrow"]]
        values[bone] *= random.uniform(0.85, 1.15)
        values[CODES["air"]] = -1000
        return values
    values = _spread(values, random)
    if settings.column == "amyloid":  # from a negative to a positive scan
        values[list(CORTEX)] *= random.uniform(0.65, 1.4)
    if settings.column == "dopamine":  # from healthy to parkinsonian; the putamen is lost first
        loss = random.uniform(0, 1)
        values[CODES["putamen"]] *= 1 - 0.7 * loss
        values[[CODES["caudate"], CODES["accumbens"]]] *= 1 - 0.35 * loss
    if settings.hot > 0:
        gray = values[CODES["cerebral cortex"]] if settings.column != "dopamine" else 1.0
        values[CODES["gland"]] = settings.hot * gray
    return values


def _spread(values: tuple[float, ...] | np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Multiply every value by a number of its own about 1."""
    return np.array(values) * np.maximum(1 + SPREAD * random.standard_normal(len(values)), 0.5)
