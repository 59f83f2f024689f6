"""The README's table of measurements, made from ``benchmarks/results.json``."""
from tests.examples.programs import ROOT

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
RESULTS = ROOT / "benchmarks" / "results.json"
def table(results): return ""
