"""Format figures as Markdown tables whose columns also line up in a terminal."""

from collections.abc import Sequence


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table with its first column aligned left, the others right; every row is as long as the header."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        padded = [cells[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)
        ]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def mean_and_spread(means: Sequence[float | None], spreads: Sequence[float | None]) -> list[str]:
    """Return the cells of a row, such as "1.23 (0.45)", with the decimals that the largest mean needs.

    Args:
        means: Means, of which None leaves its cell empty.
        spreads: Their standard deviations.
    """
    largest = max(abs(mean) for mean in means if mean is not None)
    decimals = 3 if largest < 2 else 2 if largest < 100 else 0
    return [
        "" if mean is None else f"{mean:.{decimals}f} ({spread:.{decimals}f})"
        for mean, spread in zip(means, spreads, strict=True)
    ]
