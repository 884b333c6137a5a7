"""Print the longest functions and the longest parameter lists of the product: `python Testing/benchmarks/sizes.py`."""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

repository = Path(__file__).resolve().parents[2]


class Function(NamedTuple):
    """A function: its place, its lines from `def` to its end, and its parameters without self and cls."""

    place: str
    lines: int
    parameters: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5, help="of each list (default: %(default)s)")
    parser.add_argument("--package", nargs="+", default=["BSAFusion", "BSAFusionLib", "BSAFusionResearch"])
    arguments = parser.parse_args()
    found = [
        function
        for package in arguments.package
        for path in sorted((repository / package).rglob("*.py"))
        for function in functions_of(path)
    ]
    print(f"{len(found)} functions")
    for name in ("lines", "parameters"):
        print(f"\nmost {name}")
        for function in sorted(found, key=lambda each: getattr(each, name), reverse=True)[: arguments.count]:
            print(f"{getattr(function, name):>5}  {function.place}")


def functions_of(path: Path) -> Iterator[Function]:
    """Yield every function and method of a source file, counted from its `def` line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            place = f"{path.relative_to(repository)}:{node.lineno} {node.name}"
            yield Function(place, node.end_lineno - node.lineno + 1, count)


if __name__ == "__main__":
    main()
