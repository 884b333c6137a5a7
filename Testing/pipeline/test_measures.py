"""Joint histograms count as NumPy's do, also on the edges of bins; values beyond count at the ends."""

import numpy as np
import pytest

from BSAFusionLib.pipeline.measures import histogram_information, mutual_information


@pytest.mark.parametrize("bins", [16, 24, 64])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_on_the_edges_of_bins_are_counted_as_numpy_counts_them(bins: int, kind: type):
    edges = np.linspace(0, 1, bins + 1)
    random = np.random.default_rng(0)
    beside = [np.nextafter(edges, 2), np.nextafter(edges, -1), random.uniform(-0.1, 1.1, 1000)]
    fixed = np.concatenate([edges, *beside]).astype(kind)
    moving = random.permutation(fixed)
    clipped = np.clip(fixed, 0, 1), np.clip(moving, 0, 1)
    expected, _, _ = np.histogram2d(*clipped, bins=bins, range=((0, 1), (0, 1)))
    assert mutual_information(fixed, moving, bins) == histogram_information(expected)
