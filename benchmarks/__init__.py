"""Figures, as ratios within one run: `python -m benchmarks [NAME…]`; see docs/performance.md."""
