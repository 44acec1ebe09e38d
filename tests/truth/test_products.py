"""Matrix products of one layer: FLOPs, bytes, casts, launches and rows of experts, counted by hand."""

from __future__ import annotations

import math

import pytest

from llmplan.machine.efficiency import MatmulEfficiency
from llmplan.machine.kernels import product_curve
from llmplan.model.layer import Linear
from llmplan.records import replace
from llmplan.work.products import joined, local_shape, products_seconds, rank_rows
from tests.truth.counting import EXPERTS, kernels, layer, layout, machine, micro_batch

TOKENS = 32.0
# q 8 x 12, k and v 8 x 12, out 12 x 8, gate and up 8 x 20 each, down 20 x 8
WEIGHTS = 8 * 12 + 8 * 12 + 12 * 8 + 2 * 8 * 20 + 20 * 8
FLOPS, BYTES = machine(flops=1.0), machine(memory=1.0)


def test_which_matrices_run_as_one() -> None:
    assert [[one.name for one in group] for group in joined(layer())] == [
        ["q", "kv"],
        ["out"],
        ["gate", "up"],
        ["down"],
    ]


@pytest.mark.parametrize("direction", ["forward", "input_gradient", "weight_gradient"])
def test_every_direction_multiplies_every_weight_by_every_token(direction: str) -> None:
    found = products_seconds(layer(), micro_batch(TOKENS), layout(), kernels(FLOPS), direction)  # type: ignore[arg-type]
    assert found == pytest.approx(2 * TOKENS * WEIGHTS)


def test_bytes_forward() -> None:
    # weights, inputs (8 to q and kv together, 12 to out, 8 to gate and up, 20 to down) and results, two bytes each
    inputs, results = 8 + 12 + 8 + 20, (12 + 12) + 8 + (20 + 20) + 8
    found = products_seconds(layer(), micro_batch(TOKENS), layout(), kernels(BYTES), "forward")
    assert found == pytest.approx(2 * (WEIGHTS + TOKENS * (inputs + results)))


def test_bytes_of_gradients() -> None:
    vectors = (8 + 12 + 8 + 20) + ((12 + 12) + 8 + (20 + 20) + 8)
    to_input = products_seconds(layer(), micro_batch(TOKENS), layout(), kernels(BYTES), "input_gradient")
    assert to_input == pytest.approx(2 * (WEIGHTS + TOKENS * vectors))  # the same matrices the other way round
    to_weight = products_seconds(layer(), micro_batch(TOKENS), layout(), kernels(BYTES), "weight_gradient")
    assert to_weight == pytest.approx(2 * TOKENS * vectors + 8 * WEIGHTS)  # a 32-bit accumulator is read and written


def test_few_outputs_cost_as_much_as_a_share_of_the_tiles() -> None:
    # half of a tile of 128 x 128 on each unit, of which there is one
    products = MatmulEfficiency(peak_fraction=1.0, memory_fraction=1.0, launch=0.0, tail=0.5)
    at = kernels(machine(flops=1.0, efficiency={"matmul": {"bf16": products}}))
    found = products_seconds(layer(), micro_batch(TOKENS), layout(), at, "forward")
    shapes = ((24, 8), (8, 12), (40, 8), (8, 20))  # outputs and inputs of q with kv, out, gate with up, down
    assert found == pytest.approx(sum(2 * k * math.hypot(TOKENS * n, 128 * 128 / 2) for n, k in shapes))


def test_launches() -> None:
    found = products_seconds(layer(), micro_batch(TOKENS), layout(), kernels(machine(launches=True)), "forward")
    assert found == pytest.approx(4)


def test_tensor_parallelism_cuts_columns_and_rows() -> None:
    found = products_seconds(layer(), micro_batch(TOKENS), layout(tp=2), kernels(FLOPS), "forward")
    assert found == pytest.approx(2 * TOKENS * WEIGHTS / 2)
    # two cached heads are not cut into four: keys and values (96 weights) stand on every second device
    found = products_seconds(layer(), micro_batch(TOKENS), layout(tp=4), kernels(FLOPS), "forward")
    assert found == pytest.approx(2 * TOKENS * ((WEIGHTS - 96) / 4 + 96 / 2))


def test_eight_bits() -> None:
    run = products_seconds(layer(), micro_batch(TOKENS), layout(), kernels(FLOPS, "fp8", "fp8"), "forward")
    assert run == pytest.approx(2 * TOKENS * WEIGHTS / 2)  # twice the rate
    # weights of one byte, inputs of one, results of two; inputs are cast before: two bytes read, `copies` written
    inputs, results = 8 + 12 + 8 + 20, (12 + 12) + 8 + (20 + 20) + 8
    product = WEIGHTS + TOKENS * (inputs + 2 * results)
    at = kernels(BYTES, "fp8", "fp8")
    for copies in (1.0, 2.0):
        moved = products_seconds(layer(), micro_batch(TOKENS), layout(), at, "forward", copies=copies)
        assert moved == pytest.approx(product + TOKENS * inputs * (2 + copies))
    # the way back casts what comes from above, and the gradient of the weight finds both at hand
    back = products_seconds(layer(), micro_batch(TOKENS), layout(), at, "input_gradient", copies=2.0)
    assert back == pytest.approx(WEIGHTS + TOKENS * (results + 2 * inputs) + TOKENS * results * (2 + 2))
    weight = products_seconds(layer(), micro_batch(TOKENS), layout(), at, "weight_gradient")
    assert weight == pytest.approx(TOKENS * (inputs + results) + 8 * WEIGHTS)


def test_inputs_that_are_cast_where_they_are_made() -> None:
    inputs, results = 8 + 12 + 8 + 20, (12 + 12) + 8 + (20 + 20) + 8
    product = WEIGHTS + TOKENS * (inputs + 2 * results)
    # what norms make goes to queries, keys and values and to gate and up, attention to out, the non-linearity to down
    makers = {"norm": 8 + 8, "attention": 12, "activation": 20}
    for makes in ((), ("norm",), ("norm", "activation"), tuple(makers)):
        at = kernels(BYTES, "fp8", "fp8", fused_casts=makes)
        apart = inputs - sum(makers[one] for one in makes)
        found = products_seconds(layer(), micro_batch(TOKENS), layout(), at, "forward")
        assert found == pytest.approx(product + 3 * TOKENS * apart)
    # a product then starts as soon as one in 16 bits does; scales of blocks have a kernel of their own all the same
    from llmplan.machine.efficiency import MatmulEfficiency

    slow = MatmulEfficiency(peak_fraction=1.0, memory_fraction=1.0, launch=3.0, cast_fraction=1.0)
    plain = MatmulEfficiency(peak_fraction=1.0, memory_fraction=1.0, launch=1.0)
    device = machine(efficiency={"matmul": {"bf16": plain, "fp8": slow, "fp8_block": slow}})
    for words, launches in (({}, 12), ({"fused_casts": tuple(makers)}, 4), ({"fused_casts": ("attention",)}, 10)):
        for blocks in (False, True):
            at = kernels(device, "fp8", "fp8", blocks=blocks, **words)
            found = products_seconds(layer(), micro_batch(TOKENS), layout(), at, "forward")
            assert found == pytest.approx(12 if blocks else launches)


def test_shared_experts_start_beside_the_routed_ones() -> None:
    shared = layer(**EXPERTS, shared_experts=1, shared_expert_ffn_hidden=14)
    launches = machine(launches=True)
    for beside, products in ((False, 5), (True, 3)):  # queries with keys, out, router; shared: in and out
        found = products_seconds(shared, micro_batch(TOKENS), layout(), kernels(launches, beside=beside), "forward")
        assert found == pytest.approx(products)
    # their FLOPs and bytes stay
    for device in (FLOPS, BYTES):
        apart, together = (
            products_seconds(shared, micro_batch(TOKENS), layout(), kernels(device, beside=beside), "forward")
            for beside in (False, True)
        )
        assert apart == pytest.approx(together)


def test_four_bit_weights_meet_16_bit_inputs() -> None:
    inputs, results = 8 + 12 + 8 + 20, (12 + 12) + 8 + (20 + 20) + 8
    moved = products_seconds(layer(), micro_batch(TOKENS), layout(), kernels(BYTES, "int4", "bf16"), "forward")
    assert moved == pytest.approx(
        0.52 * WEIGHTS + 2 * TOKENS * (inputs + results)
    )  # a scale and a zero for 128 weights
    run = products_seconds(layer(), micro_batch(TOKENS), layout(), kernels(FLOPS, "int4", "bf16"), "forward")
    assert run == pytest.approx(2 * TOKENS * WEIGHTS)  # at the rate of the inputs


@pytest.mark.parametrize(
    ("weights", "inputs", "each", "scale"),
    [
        ("fp32", "fp32", 4, 4),
        ("fp32", "tf32", 4, 4),
        ("bf16", "fp16", 2, 2),
        ("nf4", "bf16", 0.51586914, 2),
        ("mxfp4", "bf16", 0.53125, 2),
    ],
)
def test_bytes_of_elements(weights: str, inputs: str, each: float, scale: float) -> None:
    vectors, results = 8 + 12 + 8 + 20, (12 + 12) + 8 + (20 + 20) + 8
    moved = products_seconds(layer(), micro_batch(TOKENS), layout(), kernels(BYTES, weights, inputs), "forward")
    assert moved == pytest.approx(each * WEIGHTS + TOKENS * (scale * vectors + 2 * results))


@pytest.mark.parametrize(
    ("precision", "blocks", "weight", "element"),
    [
        ("fp8", False, 1, 1), ("int8", False, 1, 1),
        ("fp8", True, 1, 1 + 4 / 128),  # 32-bit scales of 128 inputs; those of 128 x 128 weights are ignored here
        ("mxfp8", False, 1 + 1 / 32, 1 + 1 / 32), ("mxfp4", False, 1 / 2 + 1 / 32, 1 / 2 + 1 / 32),
        ("nvfp4", False, 1 / 2 + 1 / 16, 1 / 2 + 1 / 16),
        ("int4", False, 1 / 2 + (2 + 1 / 2) / 128, 1 / 2),  # a scale of 16 bits and a zero of 4 for 128 weights
    ],
)  # fmt: skip
def test_bytes_of_narrow_elements(precision: str, blocks: bool, weight: float, element: float) -> None:
    device = replace(BYTES, peak=BYTES.peak | {precision: 1e40})
    inputs, results = 8 + 12 + 8 + 20, (12 + 12) + 8 + (20 + 20) + 8
    at = kernels(device, precision, precision, blocks=blocks)
    moved = products_seconds(layer(), micro_batch(TOKENS), layout(), at, "forward")
    cast = inputs * (2 + element)
    assert moved == pytest.approx(weight * WEIGHTS + TOKENS * (element * inputs + 2 * results + cast), rel=1e-4)


def test_a_measured_kernel_of_block_fp8_reads_scales_of_its_weights() -> None:
    curve = product_curve(machine(), "fp8_block", "fp8_block")
    assert (curve.weight_bytes, curve.input_bytes) == (1 + 4 / 128**2, 1 + 4 / 128)


# Experts: four of gate and up 8 x 10 each, down 10 x 8, of which a token takes two; a router 8 x 4

MOE = layer(**EXPERTS)
ROUTED = 3 * 8 * 10
ATTENTION = 8 * 12 + 8 * 12 + 12 * 8


def test_a_token_passes_its_experts() -> None:
    found = products_seconds(MOE, micro_batch(TOKENS), layout(), kernels(FLOPS), "forward")
    assert found == pytest.approx(2 * TOKENS * (ATTENTION + 8 * 4 + 2 * ROUTED))


def test_the_router_has_16_bits() -> None:
    found = products_seconds(MOE, micro_batch(TOKENS), layout(), kernels(FLOPS, "fp8", "fp8"), "forward")
    assert found == pytest.approx(2 * TOKENS * ((ATTENTION + 2 * ROUTED) / 2 + 8 * 4))


def test_bytes_of_experts() -> None:
    # 32 tokens leave none of four experts out but with probability 2^-32; rows: two for each token
    attention = ATTENTION + TOKENS * (8 + 12 + 24 + 8)
    router = 8 * 4 + TOKENS * (8 + 4)
    rows = 2 * TOKENS
    banks = 4 * ROUTED + rows * (8 + 20 + 10 + 8)
    found = products_seconds(MOE, micro_batch(TOKENS), layout(), kernels(BYTES), "forward")
    assert found == pytest.approx(2 * (attention + router + banks))
    one = products_seconds(MOE, micro_batch(1.0), layout(), kernels(BYTES), "forward")  # of one token: two experts
    assert one == pytest.approx(2 * (ATTENTION + 52 + 8 * 4 + 12 + 2 * ROUTED + 2 * 46))
    # the gradient of the banks: operands in 16 bits, accumulators of all four in 32
    back = products_seconds(MOE, micro_batch(TOKENS), layout(), kernels(BYTES), "weight_gradient")
    operands = 2 * (TOKENS * (52 + 12) + rows * 46)
    assert back == pytest.approx(operands + 8 * (ATTENTION + 8 * 4 + 4 * ROUTED))


def test_experts_are_launched_with_their_layer() -> None:
    found = products_seconds(MOE, micro_batch(TOKENS), layout(), kernels(machine(launches=True)), "forward")
    assert found == pytest.approx(3)  # q with kv, out, router


def test_padding_of_tiles() -> None:
    # few rows: three more for each; 32 rows of 8 FLOPs... many: half of 128 for each expert
    for tokens, rows in ((TOKENS, 4 * 2 * TOKENS), (10_000.0, 2 * 10_000 + 4 * 64)):
        at = kernels(machine(flops=1.0, grouped={"padding": 3.0}))
        found = products_seconds(MOE, micro_batch(tokens), layout(), at, "forward")
        assert found == pytest.approx(2 * tokens * (ATTENTION + 8 * 4) + 2 * rows * ROUTED)


def bank() -> Linear:
    return next(linear for linear in MOE.linears if linear.routed)


@pytest.mark.parametrize(
    ("degrees", "sharing"),
    # tp 1, ep 2: 100 tokens of either rank; tp 2, ep 2: the same 100 tokens on both; tp 2, ep 4: of two such pairs
    [({"ep": 2}, 1.0), ({"tp": 2, "ep": 2}, 2.0), ({"tp": 2, "ep": 4}, 2.0), ({"tp": 4, "ep": 2}, 2.0)],
)
def test_rows_of_the_busiest_rank(degrees: dict[str, int], sharing: float) -> None:
    ranks = float(degrees["ep"])
    together = 100.0 * ranks / sharing  # tokens of all ranks
    local, each = 4 / ranks, together * 2 / 4  # experts of a rank, rows of an expert
    uneven = 1 + math.sqrt((0.25 + 1 / each) / local * 2 * math.log(ranks))
    most = ranks * min(1.0, local / 2)
    rows, touched = rank_rows(bank(), 100.0, layout(**degrees), 0.5)
    assert rows == pytest.approx(100.0 * 2 / sharing * min(uneven, most))
    assert touched == pytest.approx(local, rel=1e-3)


def test_shapes_of_experts_on_a_rank() -> None:
    assert local_shape(bank(), layout(tp=4, ep=2)) == (5.0, 8.0)  # whole over two, each cut into two
    assert local_shape(bank(), layout(tp=2, ep=4)) == (10.0, 8.0)
