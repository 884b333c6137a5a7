"""Figures as Markdown tables whose columns also line up in a terminal."""

from collections.abc import Sequence


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """The first column to the left, the others to the right; every row as long as the header."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        padded = [cells[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)
        ]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def figures(means: Sequence[float | None], spreads: Sequence[float | None] | None = None) -> list[str]:
    """The cells of a row: means with as many decimals as the largest needs for three or four digits, each with its
    spread in brackets if they are given; nothing where there is no mean."""
    largest = max(abs(mean) for mean in means if mean is not None)
    decimals = 3 if largest < 2 else 2 if largest < 100 else 0
    cells = [f"{mean:.{decimals}f}" if mean is not None else "" for mean in means]
    if spreads is None:
        return cells
    return [cell and f"{cell} ({spread:.{decimals}f})" for cell, spread in zip(cells, spreads, strict=True)]
