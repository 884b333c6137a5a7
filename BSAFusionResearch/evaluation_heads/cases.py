"""The cases: three heads, three modalities, three elastic sizes and three rigid motions, each simulated by its seed."""

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from BSAFusionResearch.simulation.heads import REPORTED_HEADS, head_files, read_head
from BSAFusionResearch.simulation.patient import Patient, simulate_patient
from BSAFusionResearch.simulation.settings import MODALITIES, PatientSettings

ELASTIC_MM = (0.0, 4.0, 8.0)
MOTIONS = ((4.0, 5.0), (8.0, 12.0), (15.0, 20.0))  # degrees and mm


@dataclass(frozen=True)
class HeadCase:
    """One simulated patient of the table.

    The seed follows from head, modality, motion and draw alone: cases of other elastic sizes share person and scanners.
    """

    head: str
    modality: str
    rotation_deg: float
    translation_mm: float
    elastic_mm: float
    draw: int = 0

    @property
    def name(self) -> str:
        """The case in one word, such as "13-ct-8deg-12mm-elastic4"."""
        motion = f"{self.rotation_deg:g}deg-{self.translation_mm:g}mm"
        again = f"-draw{self.draw}" if self.draw else ""
        return f"{self.head}-{self.modality}-{motion}-elastic{self.elastic_mm:g}{again}"

    @property
    def settings(self) -> PatientSettings:
        """The patient's settings; all but the case's own are the simulator's defaults."""
        motion = MOTIONS.index((self.rotation_deg, self.translation_mm))
        return PatientSettings(
            self.modality,
            seed=1000 * int(self.head) + 100 * self.draw + 10 * MODALITIES.index(self.modality) + motion,
            rotation_deg=self.rotation_deg,
            translation_mm=self.translation_mm,
            elastic_mm=self.elastic_mm,
        )

    def patient(self, folder: Path) -> Patient:
        """Simulate the patient from the label files of a folder.

        Raises:
            FusionError: the head is not there or is no label map.
        """
        return simulate_patient(read_head(head_files(folder, (self.head,))[0]), self.settings)


def head_cases(heads: tuple[str, ...] = REPORTED_HEADS) -> list[HeadCase]:
    """Return the cases of some heads, 27 a head, ordered so that the first of them vary most."""
    cases = []
    for head_number, modality_number, motion, elastic in product(range(len(heads)), range(3), range(3), range(3)):
        # A Latin square: each run of nine cases has every head with every modality once, sizes and motions mixed.
        case = HeadCase(heads[head_number], MODALITIES[modality_number], *MOTIONS[motion], ELASTIC_MM[elastic])
        turn = ((elastic - head_number - modality_number) % 3, (motion - head_number + modality_number) % 3)
        cases.append((turn, head_number, modality_number, case))
    return [case for *_, case in sorted(cases, key=lambda each: each[:3])]


def drawn_cases(modality: str, heads: tuple[str, ...]) -> list[HeadCase]:
    """Return 18 cases a head of one modality: nine that share three persons, and nine persons of their own.

    Any first few of them have all heads and elastic sizes.
    """
    shared = [case for case in head_cases(heads) if case.modality == modality]
    shared.sort(key=lambda case: case.rotation_deg)
    return shared + [replace(case, draw=1 + ELASTIC_MM.index(case.elastic_mm)) for case in shared]


def varied_cases(modality: str, heads: tuple[str, ...]) -> list[HeadCase]:
    """Return three of the drawn cases a head of one modality, one of each elastic size; motions and persons take turns.

    Any first few of them have all elastic sizes.
    """
    cases = []
    for head in heads:
        drawn = drawn_cases(modality, (head,))
        for number, elastic_mm in enumerate(ELASTIC_MM):
            alike = [case for case in drawn if case.elastic_mm == elastic_mm]
            cases.append(alike[(int(head) + number) % len(alike)])
    return cases
