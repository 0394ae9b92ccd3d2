"""How every benchmark tells its figures: a table for people, then one JSON object on the last line."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0..1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Aim:
    """`value` None: not measured in this run. Met when value <= aim."""

    name: str
    value: float | None
    aim: float
    unit: str

    @property
    def met(self) -> bool | None:
        return None if self.value is None else self.value <= self.aim


@dataclass(slots=True)
class Report:
    benchmark: str
    figures: dict[str, Any] = field(default_factory=dict)
    aims: list[Aim] = field(default_factory=list)

    def series(self, name: str, values: Sequence[float], unit: str) -> None:
        self.figures[name] = {
            "unit": unit,
            "n": len(values),
            "p50": statistics.median(values),
            "p99": percentile(values, 0.99),
            "min": min(values),
            "max": max(values),
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "machine": machine(),
            "figures": self.figures,
            "aims": {a.name: {"value": a.value, "aim": a.aim, "met": a.met} for a in self.aims},
        }

    def tell(self) -> None:
        """Print the table and the JSON line, and keep the latter in benchmarks/results/."""
        for name, figure in self.figures.items():
            if isinstance(figure, dict):
                numbers = "  ".join(
                    f"{key} {value:,.1f}"
                    for key, value in figure.items()
                    if isinstance(value, float)
                )
                print(f"{name:34} {numbers} {figure['unit']}  (n={figure['n']})")
            else:
                print(f"{name:34} {figure}")
        for aim in self.aims:
            state = {True: "met", False: "MISSED", None: "not measured"}[aim.met]
            shown = "-" if aim.value is None else f"{aim.value:,.1f}"
            print(f"aim {aim.name:30} {shown} <= {aim.aim:,.0f} {aim.unit}: {state}")
        RESULTS.mkdir(exist_ok=True)
        line = json.dumps(self.as_json())
        (RESULTS / f"{self.benchmark}.json").write_text(line + "\n")
        print(line)


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")
