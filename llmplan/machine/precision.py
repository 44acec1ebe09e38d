"""Bytes of elements by precision, and which kind of kernel weights and inputs of two precisions meet in."""

from __future__ import annotations

ELEMENT_BYTES = {
    "fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "fp8_block": 1.03125, "mxfp8": 1.03125, "int8": 1.0,
    "nvfp4": 0.5625, "mxfp4": 0.53125, "int4": 0.5, "nf4": 0.51586914,
}  # fmt: skip
"""Bytes of one element with its share of block scales: nvfp4 has one 8-bit scale for 16 elements, mxfp8 and mxfp4
one for 32 (OCP MX v1.0), inputs of block fp8 a 32-bit one for 128, nf4 with double quantization 0.127 bits a
parameter (Dettmers et al. 2023)."""
STORED_BYTES = ELEMENT_BYTES | {"int4": 0.52, "fp8_block": 1.000244140625}
"""Bytes of a stored weight with its scales: int4 in groups of 128 with a 16-bit scale and a 4-bit zero (GPTQ, AWQ),
block fp8 with a 32-bit scale for 128 x 128; scales of fp8 and int8 (one a row) are nothing. Plans name block fp8 as fp8
and ignore those 0.02 %; measured kernels name it."""
NARROW = ("fp8", "fp8_block", "mxfp8", "int8", "nvfp4", "mxfp4", "int4")
"""Precisions of inputs that are cast for their products."""
WIDE_BYTES = 2.0
"""Bytes of an element in 16 bits: activations between kernels, tables, norms, routers."""

WIDER = {
    "tf32": "fp32",
    "fp8_block": "fp8",
    "mxfp8": "fp8",
    "nvfp4": "mxfp4",
    "mxfp4": "nvfp4",
    "fp16": "bf16",
    "bf16": "fp16",
}
"""Where a product runs on a device without units of its own for it: the next that it has."""
MEASURED_AS = {
    "fp16": "bf16", "tf32": "bf16", "fp32": "bf16", "mxfp8": "fp8", "int8": "fp8", "mxfp4": "nvfp4", "fp8_block": "fp8",
    "w4a16_mxfp4": "w4a16",
}  # fmt: skip
"""Whose measured behaviour is nearest where a kind was not measured on a device."""


def kernel_kind(weights: str, inputs: str, *, block_scaled: bool = False) -> str:
    """The kind of kernel for weights and inputs of these precisions.

    block_scaled: whether 8-bit weights have a scale a block, not one a tensor or row.

    >>> kernel_kind("fp8", "fp8", block_scaled=True), kernel_kind("int4", "bf16"), kernel_kind("bf16", "bf16")
    ('fp8_block', 'w4a16', 'bf16')
    """
    if inputs == "fp8" and block_scaled:
        return "fp8_block"
    if inputs in NARROW or STORED_BYTES[weights] >= WIDE_BYTES:
        return inputs
    return {"mxfp4": "w4a16_mxfp4", "int4": "w4a16", "nvfp4": "w4a16", "nf4": "w4a16"}.get(weights, inputs)
