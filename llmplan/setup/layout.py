"""How a model is spread over devices.

The options are those of the command line, the plan file, the CSV columns and the JSON
(kebab-case on the command line).
"""

from typing import Annotated, Any, get_args

from llmplan.records import dataclass
from llmplan.rules import Within
from llmplan.vocabulary import Count, Degree, Recompute

SHARD_ALL = 3
"""The ZeRO stage that shards parameters too."""
RECOMPUTE = get_args(Recompute)
"""The least first."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Degrees of parallelism and what goes with them; every field a scalar here, an array in `fit`."""

    tp: Degree = 1
    """Tensor parallelism."""
    pp: Degree = 1
    """Pipeline stages."""
    vp: Degree = 1
    """Virtual stages a device (interleaved schedule); 1 = plain 1F1B."""
    cp: Degree = 1
    """Context parallelism."""
    ep: Degree = 1
    """Expert parallelism; divides dp x cp x tp and takes no devices of its own."""
    redundant_experts: Annotated[int, Within(ge=0, le=1_000_000)] = 0
    """Copies of experts of a layer beside the experts themselves, in serving; ep divides both together (slots)."""
    dp: Degree = 1
    """Data parallelism = devices / (tp x pp x cp)."""
    zero: Annotated[int, Within(ge=0, le=3)] = 0
    """0 replicated; 1 optimizer states, 2 and gradients, 3 and parameters sharded over dp (x cp)."""
    sequence_parallel: bool = False
    """Norms and residuals divided over the tensor-parallel group too."""
    micro_batch: Count = 1
    """Sequences a micro-batch."""
    recompute: Recompute = "none"
    """Activations computed again in the backward pass: none, core attention (selective), all (full)."""
    recompute_layers: Count | None = None
    """With `full`, layers of each virtual stage that are computed again while the others keep theirs; None = all."""
    offload_optimizer: bool = False
    """Optimizer states in host memory."""

    @property
    def devices(self) -> int:
        """Devices that it takes [1]."""
        return self.tp * self.pp * self.cp * self.dp


@dataclass(frozen=True, slots=True)
class LayoutArrays:
    """Many layouts: the fields of `Layout`, each an array; the formulas take them as they take one.

    Where all layers are computed again, `recompute_layers` is infinite.
    """

    tp: Any
    pp: Any
    vp: Any
    cp: Any
    ep: Any
    redundant_experts: Any
    dp: Any
    zero: Any
    micro_batch: Any
    recompute_layers: Any
    sequence_parallel: Any
    offload_optimizer: Any
    recompute: Any

    @property
    def devices(self) -> Any:
        """Devices that each layout takes [1]."""
        return self.tp * self.pp * self.cp * self.dp
