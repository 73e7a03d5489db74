"""Every benchmark runs, at a tiny size: its figures mean nothing then, but their shape does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.load import request
from benchmarks.report import Report, percentile

ROOT = Path(__file__).parents[1]
