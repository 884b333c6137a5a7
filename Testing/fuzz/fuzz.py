"""Read damaged volumes, points, weights and DICOM: `python Testing/fuzz/fuzz.py --count 2000`.

A whole file of every kind is cut short, has bits flipped, bytes overwritten, parts doubled or removed, numbers of its
header replaced, code planted in it, or gets another kind's name. `reader.py` then reads it as its name says, in a
process of its own with limits of computing seconds and memory. A result or a FusionError is right. Anything else is a
failure: it is printed with what was done to the file, and the file is kept. The counts of all outcomes are printed,
too.
"""

import argparse
import gzip
import io
import pickle
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tqdm import tqdm

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

volumes = "nii", "nii.gz", "nrrd", "mha"
points = "mrk.json", "fcsv"
weights = "safetensors", "pkl"
dicom = "pet.dcm", "spect.dcm"  # a slice among others that are whole; all slices in one
kinds = (*volumes, *points, *weights, *dicom)

strange = [b"0", b"-1", b"1", b"nan", b"inf", b"1e308", b"1e-320", b"99999999999999999999", b"", b"x", b"1 2"]
header = 352  # bytes of a NIfTI file, of fields that struct calls h, i and f
fields = (
    ("h", (0, 1, -1, 3, 30000, -30000)),
    ("i", (0, -1, 2**30)),
    ("f", (0.0, -1.0, 1e38, 1e-42, float("nan"), float("inf"))),
)
text = 4000  # bytes at the beginning of any file in which numbers in words may stand


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="files in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is done to them (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="of computing for one file (default: %(default)s)")
    parser.add_argument("--keep", type=Path, default=Path("results", "fuzz"), help="for what failed (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes, failures = run(Path(folder), arguments.count, arguments.seed, arguments.seconds, arguments.keep)
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:<14}{outcome:<12}{count:>6}")
    print(f"{outcomes.total()} files, {len(failures)} failures")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


def run(folder: Path, count: int, seed: int, seconds: int, keep: Path) -> tuple[Counter, list[str]]:
    """Return how often each kind of file had each outcome, and descriptions of the failures."""
    subprocess.run([sys.executable, repository / "Testing" / "fuzz" / "reader.py", "make", folder], check=True)
    whole = {path.name.removeprefix("whole."): path.read_bytes() for path in folder.glob("whole.*")}
    trace = folder / "trace"
    dice = random.Random(seed)
    outcomes: Counter = Counter()
    failures = []
    reader = Reader(folder)
    for n in tqdm(range(count)):
        kind = kinds[n % len(kinds)]
        content, how = damaged(whole, kind, trace, dice)
        path = folder / f"{n}.{kind}"
        path.write_bytes(content)
        outcome = reader.read(path, seconds)
        if trace.exists():
            outcome = f"failed: code was executed; {outcome}"
            trace.unlink()
        outcomes[kind, outcome.partition(":")[0]] += 1
        if outcome.startswith("failed"):
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, keep)
            failures.append(f"{keep / path.name} ({how}) {outcome}")
        path.unlink()
    reader.end()
    return outcomes, failures


class Reader:
    """A process that reads one file after another, replaced by a new one where it crashes or hangs."""

    def __init__(self, folder: Path) -> None:
        self._command = [sys.executable, str(repository / "Testing" / "fuzz" / "reader.py"), "read", str(folder)]
        self._process: subprocess.Popen | None = None

    def read(self, path: Path, seconds: int) -> str:
        """Return the outcome: "read", "refused", or "failed: " and why."""
        if self._process is None:
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=nowhere, text=True)
        self._process.stdin.write(f"{seconds} {path}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if answer:
            return answer
        ended = self._process.wait()
        self._process = None
        return f"failed: the process ended by {ended} (-27: after {seconds} s of computing; -14: it came to no end)"

    def end(self) -> None:
        if self._process is not None:
            self._process.communicate()


class Planted:
    """Code in a pickle; loading it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self._trace,)


def damaged(whole: dict[str, bytes], kind: str, trace: Path, dice: random.Random) -> tuple[bytes, str]:
    """Return a damaged copy of a file's content, and a description of the damage."""
    if kind == "pkl" and dice.random() < 0.2:
        return planted(whole["pkl"], trace, dice), "code planted"
    if dice.random() < 0.1:
        other = dice.choice([name for name in whole if name != kind])
        return whole[other], f"a {other}"
    inside = kind == "nii.gz" and dice.random() < 0.7  # so that what is damaged is not only the compression
    content = bytearray(gzip.decompress(whole[kind]) if inside else whole[kind])
    done = []
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        how = dice.choice((cut, flip, overwrite, double, take_out, exchange_number, exchange_number))
        how(content, kind, dice)
        done.append(how.__name__)
    return gzip.compress(bytes(content), 1) if inside else bytes(content), ", ".join(done)


def planted(content: bytes, trace: Path, dice: random.Random) -> bytes:
    import torch

    how = dice.randrange(3)
    if how == 0:
        return pickle.dumps(Planted(trace), protocol=dice.randrange(6))
    if how == 1:
        return f"cposix\nsystem\n(S'touch {trace}'\ntR.".encode()
    state = torch.load(io.BytesIO(content), weights_only=True)
    section = dice.choice(sorted(state))
    state[section][dice.choice(sorted(state[section]))] = Planted(trace)
    written = io.BytesIO()
    torch.save(state, written)
    return written.getvalue()


def somewhere(content: bytearray, dice: random.Random) -> int:
    """Return a random place in a file, half of the time near its beginning, where the header is."""
    return dice.randrange(1 + min(len(content), text if dice.random() < 0.5 else len(content)))


def cut(content: bytearray, kind: str, dice: random.Random) -> None:
    del content[somewhere(content, dice) :]


def flip(content: bytearray, kind: str, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 3, 20))):
        place = somewhere(content, dice)
        if place < len(content):
            content[place] ^= 1 << dice.randrange(8)


def overwrite(content: bytearray, kind: str, dice: random.Random) -> None:
    place, length = somewhere(content, dice), dice.choice((1, 4, 100))
    content[place : place + length] = dice.choice((bytes(length), b"\xff" * length, dice.randbytes(length)))


def double(content: bytearray, kind: str, dice: random.Random) -> None:
    place, length = somewhere(content, dice), dice.choice((1, 10, 1000))
    content[place:place] = content[place : place + length]


def take_out(content: bytearray, kind: str, dice: random.Random) -> None:
    place, length = somewhere(content, dice), dice.choice((1, 10, 1000))
    del content[place : place + length]


def exchange_number(content: bytearray, kind: str, dice: random.Random) -> None:
    if kind.startswith("nii"):
        if len(content) >= header:
            code, numbers = dice.choice(fields)
            struct.pack_into(f"<{code}", content, 2 * dice.randrange(header // 2 - 2), dice.choice(numbers))
        return
    found = list(re.finditer(rb"-?\d+(\.\d+)?(e-?\d+)?", content[:text]))
    if found:
        chosen = dice.choice(found)
        content[chosen.start() : chosen.end()] = dice.choice(strange)


if __name__ == "__main__":
    sys.exit(main())
