"""A field folds where it runs backwards faster than the pixels go on."""

import numpy as np
import pytest

from BSAFusionResearch.evaluation.folding import folded_percent


def test_folded_percent():
    columns = np.tile(np.arange(20.0), (16, 1))
    still = np.zeros_like(columns)
    assert folded_percent(np.stack([0.5 * columns, still])) == 0
    assert folded_percent(np.stack([-3 * columns, still])) == 100
    # Both axes turned round is half a turn, which folds nothing inside.
    rows = np.tile(np.arange(16.0)[:, None], (1, 20))
    assert folded_percent(np.stack([-3 * columns, -3 * rows])) == 0
    half = np.where(columns < 10, -3 * columns, -27)
    assert folded_percent(np.stack([half, still])) == pytest.approx(50, abs=5)
