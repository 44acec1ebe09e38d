"""Fits the catalogue's numbers on measurements; used by maintainers, never by an estimate.

`python -m llmplan.calibrate kernels` fits devices on microbenchmarks,
`python -m llmplan.calibrate stacks` fits stacks on published runs. Needs the `calibrate` extra.
"""
