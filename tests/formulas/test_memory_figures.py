"""Formulas of memory against the figures of the papers that they come from, worked by hand."""

from __future__ import annotations

import pytest

from llmplan.catalog.entries import read_entry
from llmplan.files import builtin
from llmplan.formulas.activations import layer_activation_bytes, logits_bytes, score_bytes
from llmplan.formulas.pipeline import micro_batches_in_flight, stage_layers
from llmplan.formulas.states import expert_parts, lora_parameters, sharded_bytes, split_parts
from llmplan.model.lowering import lower
from llmplan.model.spec import model_spec
from llmplan.records import replace

# Korthikanti et al. 2022 (arXiv 2205.05198), table 3: heads, hidden, layers; s = 2048, b = 1, t = 8.
SHAPES = {"22B": (64, 6144, 48), "175B": (96, 12288, 96), "530B": (128, 20480, 105), "1T": (160, 25600, 128)}
S, B, T = 2048.0, 1.0, 8.0


def layer(a: float, h: float, t: float, sequence_parallel: float, *, scores: bool = True) -> float:
    """A layer of a GPT: 4h copied, 12h divided, 2h masks, 5 a s^2 b bytes of scores (section 4.1)."""
    kept = score_bytes(S * B, S, a, t, 5.0) if scores else 0.0
    return float(layer_activation_bytes(S * B, 4.0 * h, 12.0 * h, 2.0 * h, kept, t, sequence_parallel))


@pytest.mark.parametrize(("a", "h"), [(a, h) for a, h, _ in SHAPES.values()], ids=SHAPES)
class TestKorthikanti:
    """Table 2: activations of a transformer layer by technique."""

    def test_no_parallelism(self, a: int, h: int) -> None:
        assert layer(a, h, 1.0, 0.0) == pytest.approx(S * B * h * (34 + 5 * a * S / h), rel=1e-12)

    def test_tensor_parallel(self, a: int, h: int) -> None:
        assert layer(a, h, T, 0.0) == pytest.approx(S * B * h * (10 + 24 / T + 5 * a * S / (h * T)), rel=1e-12)

    def test_tensor_and_sequence_parallel(self, a: int, h: int) -> None:
        assert layer(a, h, T, 1.0) == pytest.approx(S * B * h / T * (34 + 5 * a * S / h), rel=1e-12)

    def test_tensor_parallel_and_selective(self, a: int, h: int) -> None:
        assert layer(a, h, T, 0.0, scores=False) == pytest.approx(S * B * h * (10 + 24 / T), rel=1e-12)

    def test_tensor_sequence_parallel_and_selective(self, a: int, h: int) -> None:
        assert layer(a, h, T, 1.0, scores=False) == pytest.approx(34 * S * B * h / T, rel=1e-12)


def test_scores_are_eighty_beside_thirty_four_for_gpt3() -> None:
    # Section 5: 5 a s / h = 80 for GPT-3 and 64 for MT-NLG, so that dropping it saves 70 % and 65 %.
    for name, ratio, saved in (("175B", 80, 70), ("530B", 64, 65)):
        a, h, _ = SHAPES[name]
        scores = score_bytes(S * B, S, a, 1.0, 5.0)
        assert scores / (S * B * h) == ratio
        assert round(100 * scores / layer(a, h, 1.0, 0.0)) == saved


def test_interleaving_holds_more_layers() -> None:
    # Section 4.2.3: L (1 + (p - 1) / (p m)) layers; for p = 8 and m = 3: 96 x (1 + 7/24) = 124 of GPT-3's.
    layers = stage_layers(96.0, 8.0, 3.0) * micro_batches_in_flight(8.0, 3.0, 64.0)
    assert layers == pytest.approx(124.0, rel=1e-12)
    # plain 1F1B: p micro-batches of L / p layers are L layers, whatever p is
    for p in (1.0, 2.0, 4.0, 8.0, 16.0):
        assert stage_layers(96.0, p, 1.0) * micro_batches_in_flight(p, 1.0, 64.0) == 96.0


def test_no_more_in_flight_than_there_are() -> None:
    assert micro_batches_in_flight(8.0, 1.0, 3.0) == 3.0
    assert micro_batches_in_flight(8.0, 3.0, 8.0) == 8.0
    assert micro_batches_in_flight(1.0, 1.0, 64.0) == 1.0


def test_fullest_stage() -> None:
    assert stage_layers(96.0, 8.0, 1.0) == 12.0
    assert stage_layers(97.0, 8.0, 1.0) == 13.0  # one stage has one more
    assert stage_layers(105.0, 35.0, 3.0) == 3.0  # MT-NLG 530B in Korthikanti's table 3: a layer a chunk


@pytest.mark.parametrize(
    ("stage", "published"), [(0, 120.0), (1, 31.4), (2, 16.6), (3, 1.9)], ids=["replicated", "Pos", "Pos+g", "Pos+g+p"]
)
def test_zero_of_7_5b_on_64_devices(stage: int, published: float) -> None:
    # Rajbhandari et al. 2020 (arXiv 1910.02054), figure 1: psi = 7.5e9, N = 64, K = 12; to a tenth of a GB.
    psi, n = 7.5e9, 64.0
    shards = {part: n if stage >= least else 1.0 for part, least in (("o", 1), ("g", 2), ("w", 3))}
    total = (
        sharded_bytes(psi, 2.0, shards["w"])
        + sharded_bytes(psi, 2.0, shards["g"])
        + sharded_bytes(psi, 12.0, shards["o"])
    )
    assert round(total / 1e9, 1) == published


@pytest.mark.parametrize(
    ("layers", "hidden", "published"),
    # Narayanan et al. 2021 (arXiv 2104.04473), table 1, billions of parameters; V = 51,200, s = 2048.
    [
        (24, 2304, 1.7), (30, 3072, 3.6), (36, 4096, 7.5), (40, 6144, 18.4), (48, 8192, 39.1), (60, 10240, 76.1),
        (80, 12288, 145.6), (96, 16384, 310.1), (105, 20480, 529.6), (128, 25600, 1008.0),
    ],
)  # fmt: skip
def test_parameters_of_gpts(layers: int, hidden: int, published: float) -> None:
    heads = hidden // 128
    shape = {"hidden": hidden, "heads": heads, "kv_heads": heads, "head_dim": 128, "ffn_hidden": 4 * hidden}
    gpt = model_spec(read_entry(builtin("models") / "gpt3-175b.yaml"))
    model = lower(replace(gpt, layers=layers, vocab=51200, **shape))
    assert round(model.parameters / 1e9, 1) == published
    # equation 2: 12 l h^2 (1 + 13 / (12 h) + (V + s) / (12 l h))
    squares, vectors = 12 * layers * hidden + 13 * layers, 51200 + 2048
    assert model.parameters == pytest.approx((squares + vectors) * hidden, rel=1e-5)


def test_adapters_of_lora() -> None:
    # Hu et al. 2021 (arXiv 2106.09685), table 4: GPT-3 175B with W_q and W_v adapted has 4.7 M (r = 1) and
    # 37.7 M (r = 8) trainable parameters
    for rank, published in ((1.0, 4.7), (8.0, 37.7)):
        assert round(96 * 2 * lora_parameters(12288.0, 12288.0, rank) / 1e6, 1) == published


def test_logits_of_gpt3() -> None:
    # Korthikanti et al. 2022, section 4.3: 4 s b v / t bytes for the logits in fp32
    assert logits_bytes(S * B, 51200.0, T, 4.0) == 4 * 2048 * 51200 / 8


def test_scores_without_dropout_keep_the_softmax_alone() -> None:
    assert score_bytes(100.0, 50.0, 4.0, 2.0, 2.0) == 2 * 100 * 50 * 4 / 2


def test_heads_limit_a_split() -> None:
    assert [split_parts(tp, 8.0) for tp in (1.0, 4.0, 8.0, 16.0)] == [1.0, 4.0, 8.0, 8.0]
    assert split_parts(16.0, 0.0) == 16.0  # 0 = no limit


def test_experts_are_spread_whole_before_they_are_cut() -> None:
    assert expert_parts(4.0, 8.0) == 8.0  # 8 devices hold whole experts, tp adds none
    assert expert_parts(8.0, 2.0) == 8.0  # 2 groups of experts, each expert cut in 4
