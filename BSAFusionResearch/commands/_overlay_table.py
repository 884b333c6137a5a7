"""The table of what can be read from the overlay, beside the network's fused volume."""

import argparse
from dataclasses import replace
from pathlib import Path

from BSAFusionLib.settings import Settings

COLUMNS = (("overlay", "uptake"), ("overlay", "anatomy"), ("fused", "uptake"), ("fused", "anatomy"))


def print_overlays(arguments: argparse.Namespace, folders: tuple[Path, Path], weights: dict[str, Path]) -> list[dict]:
    """Measure all pairs, print a row each as it is measured, and return the rows.

    Args:
        arguments: Of the command `evaluate`.
        folders: Of the templates and of the label files of heads.
        weights: A checkpoint for each modality.

    Raises:
        FusionError: A file is missing.
    """
    from BSAFusionResearch.evaluation.legibility import HIGH_PERCENTILE, UPTAKE_SHARE
    from BSAFusionResearch.evaluation_heads.overlays import HEADS, measure_overlay, overlay_pairs
    from BSAFusionResearch.simulation.heads import head_files

    head_files(folders[1], HEADS)  # they come last, after minutes of templates
    print(
        f"\nOver the head: Spearman of luminance and uptake above {100 * UPTAKE_SHARE:g} % of its "
        f"{HIGH_PERCENTILE:g}th percentile; correlation of luminance and MRI below\n"
    )
    titles = [f"{picture}, {'MRI' if what == 'anatomy' else what}" for picture, what in COLUMNS]
    print(f"| {'pair':<24} |" + "".join(f" {title:>16} |" for title in titles))
    print(f"| {'-' * 24} |" + f" {'-' * 15}: |" * len(titles), flush=True)
    settings = Settings(device=arguments.device, precision=arguments.precision)
    rows = []
    for pair in overlay_pairs(*folders):
        row = measure_overlay(pair, replace(settings, modality=pair.modality, weights=weights[pair.modality]))
        figures = "".join(f" {row[picture][what]:>16.3f} |" for picture, what in COLUMNS)
        print(f"| {row['name']:<24} |{figures}", flush=True)
        rows.append(row)
    return rows
