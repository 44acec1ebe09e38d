"""How a framework trains: the `training` of a stack's entry."""

from typing import Annotated, Literal

from llmplan.rules import Within
from llmplan.schema import Spec
from llmplan.vocabulary import Dispatch, Optimizer, Recompute, ReduceAlgorithm


class TrainingRecipe(Spec):
    """What the stack does where the user says nothing."""

    recompute: Recompute | Literal["auto"] = "auto"
    """`auto` = the least that fits."""
    quantized_recompute: Recompute | None = None
    """The same beside a base that bitsandbytes quantized, where preparing it decides that."""
    sharded_recompute: bool = False
    """Every layer is computed again where gradients or parameters are sharded, whatever is said."""
    zero: Annotated[int, Within(ge=0, le=3)] = 1
    sequence_parallel: bool = True
    """Where tp > 1."""
    flash_attention: bool = True
    optimizer: Optimizer = "adam"
    precision: str = "bf16"
    micro_batch: int = 1
    generation_fraction: Annotated[float, Within(gt=0, lt=1)] = 0.3
    """Share of a device that an engine beside the training takes: TRL's (GRPOConfig, `vllm_gpu_memory_utilization`)."""
    lora_rank: int = 16
    lora_targets: tuple[str, ...] = ("q", "kv")
    quantized_lora_targets: tuple[str, ...] = ()
    """The same beside a quantized base, where that is usual; empty = the same."""
    adapter_input_bytes: Annotated[float, Within(ge=0)] = 0.0
    """Bytes of an element of its input that an adapter keeps for itself: 2 where adapters in fp32 run under autocast
    and cast it, 1 more for the mask of a dropout; 0 = adapters share one input."""
    quantized_input_bytes: dict[str, float] = {"int8": 3.0}
    """The same of each matrix of a quantized base, by its precision: bitsandbytes' product in 8 bits casts its input to
    fp16 (2) and keeps that and its 8 bits (1)."""
    gradient_bytes: float = 4.0
    """Bytes of a gradient element of 16-bit weights as accumulated."""
    gradient_bytes_bf16: float | None = None
    """The same for bf16 weights, where the stack treats them otherwise than fp16 ones."""
    master_bytes: float = 4.0
    """Bytes of the master copy of a 16-bit weight; 0 = none."""
    master_bytes_bf16: float | None = None
    moment_bytes: float = 4.0
    """Bytes of an element of an optimizer state; 2 where the states are in 16 bits like the weights."""
    step_bytes: float = 0.0
    """Bytes of a trained parameter that Adam's step takes beside the states, while no activations stand: the root of
    the second moments where operations run over all tensors at once (PyTorch's `foreach`), gradients in fp32
    (DeepSpeed)."""
    reduce_bytes: float = 4.0
    """Bytes of a gradient element in the data-parallel reduction."""
    gather_bytes: dict[str, float] = {}
    """Bytes of a parameter of a layer as it is gathered, by the precision of its products: 1 where those in 8
    bits gather what was cast (`--fp8-param-gather`). Absent: 2."""
    bucket_parameters: Annotated[float, Within(gt=0)] = 40e6
    """Parameters from which on their gradients are reduced, and the updated ones gathered, in a message of their own:
    `--ddp-bucket-size` of Megatron-LM, whose default is 40 million or more. Under ZeRO-3 each layer has its own."""
    reduces_after_backward: bool = False
    """Gradients are reduced when the last backward pass is done, beside nothing, and so are parameters gathered."""
    blocking_launches: bool = False
    """The host waits for every kernel before it launches the next (CUDA_LAUNCH_BLOCKING): nothing hides its time."""
    parameter_bytes: float = 2.0
    """Bytes of a parameter as held; 4 where 32-bit parameters are cast on the fly (FSDP mixed precision)."""
    packing: bool = True
    """Samples are packed, cut or filled to one length; false: each batch of a fine-tuning is as long as its longest."""
    varied: Annotated[float, Within(ge=0, le=4)] = 0.0
    """More of what a micro-batch takes, lost in blocks where samples of many lengths are not packed: a longer sample
    finds none of its size free."""
    returned: Annotated[float, Within(ge=0, le=1)] = 0.8
    """Of that, the share that the allocator can give back where the device is full: blocks that nothing is left in. The
    rest are blocks in part use: 15 to 33 % of what is reserved in fine-tuning (GMLake, arXiv 2401.08156, abstract)."""
    dropout: bool = False
    norm_saves: float = 1.0
    """Hidden vectors kept for each norm (more where the norm runs unfused in fp32)."""
    activation_saves: float = 1.0
    """Vectors kept at the non-linearity for each one that a fused kernel keeps."""
    attention_kernel: Literal["flash-2", "best"] = "best"
    """`flash-2`, or the fastest that was measured on the device."""
    whole_inputs: bool = False
    """Under sequence parallelism the input of column-split matrices is kept as it was gathered, not the piece that a
    device had of it (PyTorch's `DTensor`, whose products save what they multiply)."""
    narrow_inputs: bool = False
    """Inputs of 8-bit matrix products are kept in 8 bits (Transformer Engine), not in 16."""
    selective_share: Annotated[float, Within(ge=0, le=1)] = 0.0
    """Share of a layer's activations and matrix products that `selective` computes again beside core
    attention: 0 as in Megatron-LM, about a half where it means every second layer or matrix product."""
    recompute_copies: float = 1.0
    """Times that a recomputed layer's activations stand in memory while it is differentiated: 2 where their
    gradients stand beside them."""
    plans_buffers: bool = False
    """One compiled program is the step, and lays out its buffers (XLA): logits are gone when gradients come, and under
    a policy that names what is kept (`selective`; MaxText's `remat_policy`) what does not fit beside it is computed
    again or moved to the host."""
    gathered_unit: Literal["layer", "matrix"] = "layer"
    """What stands whole at once under ZeRO-3: a layer (an FSDP unit), or a matrix where each is gathered as it is
    used (DeepSpeed's submodules, XLA's all-gather before a product)."""
    score_bytes: float | None = None
    """Bytes kept of a score of unfused attention without dropout: 2 where its softmax stays in 16 bits (the default), 6
    where it is taken in fp32 and cast."""
    copies_head: bool = False
    """A head that shares the table's weights is a copy of them all the same."""
    live_parameters: float = 0.0
    """Gathered parameters that ZeRO-3 keeps whole for their next use (DeepSpeed, `stage3_max_live_parameters`)."""
    logits_bytes: float = 8.0
    """Bytes of a logit at the peak, all copies: 4 fp32 and 4 its gradient."""
    logits_chunk: int = 0
    """Tokens of which the loss is computed at a time; 0 = all."""
    quantized_base_bytes: dict[str, float] = {}
    """Bytes of a parameter of a quantized base where the stack stores it otherwise: nf4 without double quantization has
    a scale of 32 bits for 64."""
    unpacking_bytes: dict[str, float] = {"nf4": 4.5, "int8": 5.0, "int4": 24.0}
    """Bytes moved for each parameter of a quantized base that is widened to 16 bits for a pass, by its precision: half
    a byte read, two written and read again where one kernel does it (bitsandbytes); about twelve times 2 bytes where
    shifts, masks, zeros and scales are PyTorch operations of their own (AutoGPTQ). Absent: products take it as it
    is."""
    unpacked_bytes: dict[str, float] = {"nf4": 2.0, "int8": 2.0, "int4": 12.0}
    """Bytes for each parameter of the largest matrix of a quantized base while it is widened, by its precision: the 16
    bits, and beside them the integers, masks and scales where PyTorch operations unpack it (AutoGPTQ)."""
    unpacked_kept: tuple[str, ...] = ("int4",)
    """Precisions of which the widened matrices of a layer stay until its backward pass (AutoGPTQ's product is one of
    PyTorch's, which keeps both of its operands)."""
    quantized_ends_bytes: float = 2.0
    """Bytes of an element of tables and head beside a base that bitsandbytes quantized (nf4, int8): 4 where they are
    cast to fp32 before training (PEFT, `prepare_model_for_kbit_training`, which leaves GPTQ's in 16 bits)."""
    block_scaled: bool = False
    """8-bit weights and inputs have a scale a block, not one a tensor."""
    all_reduce: tuple[ReduceAlgorithm, ...] = ("ring", "switch")
    """Algorithms of an all-reduce that the stack has, of which the fastest runs."""
    dispatch: Dispatch = "domain"
    """How tokens go to their experts."""
    dispatch_bytes: float = 2.0
    """Bytes of an element on the way to its expert; the way back has 16 bits."""
    divided_transfers: bool = False
    """What a pipeline stage sends is divided over tensor parallelism and gathered behind, also without sequence
    parallelism."""
    overlapped_transfers: bool = False
    """With virtual stages, what stages send moves beside the next chunk of work (`overlap_p2p_comm`)."""
    fused_experts: bool = False
    """Experts run in fused kernels, whose rate was measured, not in grouped products of a library."""
    permute_fusion: bool = False
    """One kernel sorts tokens by expert and one puts them back (`--moe-permute-fusion`): both stream memory, which the
    measured layers of experts, with sorts and gathers of their own, do not."""
    routing_spread: Annotated[float, Within(ge=0, le=4)] = 0.0
    """How unevenly tokens go to experts: standard deviation over mean of their rows [1]; 0 = balanced by the loss."""
