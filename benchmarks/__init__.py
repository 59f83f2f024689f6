"""The benchmarks of section 11 of the design: ``python -m benchmarks``, or ``make bench``.

``catalogue.py`` lists what is measured; each group of measurements has a file of its own,
``baselines.py`` measures other libraries in the same run, ``harness.py`` is what they share.
"""
