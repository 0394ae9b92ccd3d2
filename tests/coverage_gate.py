"""Every branch of the parts that must not be wrong is run by the tests: `python tests/coverage_gate.py REPORT`."""

import json
import sys
from pathlib import Path

FULL = ("serve_app/domain/", "serve_app/tasks/", "crawler/guard.py")


def main(report: str) -> int:
    files = json.loads(Path(report).read_text())["files"]
    gated = {name: data for name, data in files.items() if name.startswith(FULL)}
    missed = 0
    for name, data in sorted(gated.items()):
        gaps = [*data["missing_lines"], *(f"{a}->{b}" for a, b in data["missing_branches"])]
        if gaps:
            missed += 1
            sys.stderr.write(f"{name}: not run: {gaps}\n")
    if not gated:
        sys.stderr.write(f"no gated file in {report}\n")
    return 1 if missed or not gated else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
