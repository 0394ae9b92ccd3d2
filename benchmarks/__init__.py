"""What the brain is measured by. `python -m benchmarks.NAME [--quick]`; the last line printed is one JSON object."""
