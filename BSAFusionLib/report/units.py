"""The names of units for color bars, from what DICOM and Slicer store."""

import re

PET_UNITS = {
    "BQML": "Bq/ml",
    "CNTS": "{counts}",
    "CPS": "{counts}/s",
    "PROPCNTS": "{propcounts}",
    "PROPCPS": "{propcounts}/s",
    "GML": "{SUVbw}g/ml",
    "PCNT": "%",
    "MLMING": "ml/min/g",
    "MLMINML": "ml/min/ml",
    "MLG": "ml/g",
    "MLML": "ml/ml",
    "UMOLML": "umol/ml",
    "UMOLMINML": "umol/min/ml",
    "1CM": "/cm",
}
"""UCUM codes by the values of DICOM's Units (0054,1001); PS3.3 C.8.9.1 and PS3.16 CID 84."""


def unit_name(code: str) -> str:
    """Return a unit as people write it, such as "SUV", "Bq/mL" or "counts".

    Args:
        code: In UCUM, such as "{SUVbw}g/ml", a value of DICOM's Units, such as "BQML", or a name already.
    """
    code = PET_UNITS.get(code, code)
    if found := re.match(r"\{?SUV(\w*)", code):
        kind = found[1].removeprefix("bw")  # by body weight, which nobody says
        return f"SUV {kind}" if kind else "SUV"
    return re.sub(r"ml\b", "mL", code.replace("{", "").replace("}", ""))
