"""Reads an lcov file and fails if too few lines of src/ are covered.

Only production code counts, because test modules are always covered and would raise the percentage.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

LIBRARY_BAR, CORE_BAR = 90.0, 95.0
CORE = ("domain", "application")
TEST_FILE = re.compile(r"(^|/)(tests/.*|(\w+_)?tests)\.rs$")
TEST_MODULE = re.compile(r"^#\[cfg\(test\)\]\n(?:#\[.*\]\n)*mod \w+ \{", re.MULTILINE)


@dataclass
class Part:
    """Covered and countable lines of one or more files."""

    name: str
    covered: int
    lines: int

    @property
    def percent(self):
        return 100.0 * self.covered / self.lines if self.lines else 100.0

    @property
    def is_core(self):
        return re.split(r"[/.]", self.name)[0] in CORE

    @property
    def bar(self):
        return CORE_BAR if self.is_core else LIBRARY_BAR


def production_lines(source):
    """Counts the lines before the test module of a file, which is always last."""
    tests = TEST_MODULE.search(source)
    return source.count("\n", 0, tests.start() if tests else len(source))


def read(lcov, root):
    """Lists the production files of `root` in the lcov file."""
    parts = []
    for record in lcov.read_text().split("end_of_record"):
        name = Path(next((x[3:] for x in record.split("\n") if x.startswith("SF:")), "/"))
        if not name.is_relative_to(root):
            continue
        relative = name.relative_to(root).as_posix()
        if TEST_FILE.search(relative):
            continue
        last = production_lines(name.read_text())
        hits = re.findall(r"^DA:(\d+),(\d+)", record, re.MULTILINE)
        counts = [int(count) for number, count in hits if int(number) <= last]
        parts.append(Part(relative, sum(count > 0 for count in counts), len(counts)))
    return parts


def is_enough(title, parts, bar):
    """Prints the coverage of some parts and returns whether it reaches the minimum."""
    whole = Part(title, sum(part.covered for part in parts), sum(part.lines for part in parts))
    enough = whole.lines > 0 and whole.percent >= bar
    verdict = "ok" if enough else "FAILED"
    print(f"{whole.percent:6.1f} % of {whole.lines} lines of {title} (minimum: {bar:.0f} %): {verdict}")
    return enough


def main(lcov):
    parts = read(Path(lcov), Path("src").resolve())
    below = sorted((part for part in parts if part.percent < part.bar), key=lambda p: p.percent)
    if below:
        print("files below the minimum:")
    for part in below:
        print(f"{part.percent:6.1f} %  {part.covered:5}/{part.lines:<5}  src/{part.name}")
    results = [
        is_enough("the library", parts, LIBRARY_BAR),
        is_enough("domain and application", [part for part in parts if part.is_core], CORE_BAR),
    ]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main(sys.argv[1])
