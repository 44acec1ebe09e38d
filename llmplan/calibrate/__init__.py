"""Fits the catalogue's numbers on measurements; no estimate imports it.

`python -m llmplan.calibrate kernels` fits devices on measured kernels (`hardware_catalog/microbenchmarks/`).
"""
