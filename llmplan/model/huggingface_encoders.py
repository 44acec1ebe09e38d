"""Rules of encoders and encoder-decoders that the tables cannot express; `huggingface_fixes` has those of decoders."""

from __future__ import annotations

from typing import Any

from llmplan.model.huggingface_config import Config
from llmplan.model.huggingface_families import CAUSAL

Fields = dict[str, Any]


def narrow_embedding(config: Config, fields: Fields) -> Fields:
    """ELECTRA and ALBERT: a narrow token table; ELECTRA-base has none, and then no projection.

    Before its language head ELECTRA goes back to the narrow width: a matrix with a bias, and a norm.
    """
    width, hidden = fields.get("embedding_size"), fields.get("hidden")
    if config.model_type == "albert" and (config.value(("inner_group_num",), int) or 1) != 1:
        config.fault("inner_group_num other than 1 is not supported", "inner_group_num")
    if fields.get("head") and width and hidden:
        fields = fields | {"extra_parameters": width * hidden + 3 * width}
    return fields | ({"embedding_size": None} if width == hidden and config.model_type != "albert" else {})


def xlnet(config: Config, fields: Fields) -> Fields:
    """Two vectors of segments a layer, and the vector of masked tokens."""
    hidden = fields.get("hidden") or 0
    return fields | {"layer_extra_parameters": 2 * hidden, "extra_parameters": hidden}


def xlm(config: Config, fields: Fields) -> Fields:
    """An embedding for each language where there are several."""
    languages = config.value(("n_langs",), int) or 1
    own = languages > 1 and config.value(("use_lang_emb",), bool) is not False
    return fields | {"token_types": languages if own else 0}


def xmod(config: Config, fields: Fields) -> Fields:
    """An adapter for each language in every layer: two matrices with biases around a narrow width."""
    languages = config.data.get("languages") or []
    config.used.add("languages")
    factor, hidden = config.value(("adapter_reduction_factor",), int) or 2, fields.get("hidden") or 0
    if config.value(("adapter_layer_norm",), bool) or not isinstance(languages, list):
        config.fault("adapter_layer_norm is not supported, and languages must be a list", "adapter_layer_norm")
        return fields
    width = hidden // factor
    pre_norm = bool(config.value(("pre_norm",), bool))
    return fields | {
        "layer_extra_parameters": len(languages) * (2 * hidden * width + hidden + width),
        "final_norm": pre_norm,
    }


def deberta(config: Config, fields: Fields) -> Fields:
    """Disentangled attention (arXiv 2006.03654): a table of relative positions, and matrices for it unless shared."""
    hidden, old = fields.get("hidden") or 0, config.model_type == "deberta"
    if config.value(("position_biased_input",), bool) is False:
        fields = fields | {"position_rows": None}
    for key in ("conv_kernel_size", "talking_head"):
        if config.data.get(key):
            config.fault(f"{key} is not supported for {config.model_type}", key)
    embedding = config.value(("embedding_size",), int)
    if embedding not in (None, hidden):
        config.fault("embedding_size other than hidden_size is not supported", "embedding_size")
    if not config.value(("relative_attention",), bool):
        return fields
    distance = config.data.get("max_relative_positions")
    config.used.add("max_relative_positions")
    most = distance if isinstance(distance, int) and distance > 0 else fields.get("max_context") or 512
    buckets = config.data.get("position_buckets")
    rows = 2 * (buckets if isinstance(buckets, int) and buckets > 0 and not old else most)
    table = rows * hidden
    if "layer_norm" in str(config.data.get("norm_rel_ebd", "none")):
        table += 2 * hidden
    kinds = config.data.get("pos_att_type") or []
    kinds = kinds.lower().split("|") if isinstance(kinds, str) else [str(kind) for kind in kinds]
    own = 0
    if not config.value(("share_att_key",), bool):
        # the first DeBERTa's matrix for keys has no bias
        own += hidden * hidden + (0 if old else hidden) if "c2p" in kinds else 0
        own += hidden * hidden + hidden if "p2c" in kinds else 0
    config.used.update(("position_buckets", "norm_rel_ebd", "pos_att_type"))
    return fields | {"extra_parameters": table, "layer_extra_parameters": own}


def t5(config: Config, fields: Fields) -> Fields:
    """`feed_forward_proj` says whether the MLP is gated; the decoder is as deep as the encoder by default."""
    kind = config.value(("feed_forward_proj",), str) or "relu"
    encoder = fields.get("encoder_layers") or 0
    decoder = config.value(("num_decoder_layers",), int) or encoder
    return fields | {"gated_mlp": kind.startswith("gated"), "layers": encoder + decoder}


OFFSET_POSITIONS = ("bart", "mbart", "plbart", "mvp", "trocr", "fsmt")  # two rows more than tokens, as OPT
EMBEDDING_NORMS = ("bart", "mbart", "plbart", "mvp", "trocr", "blenderbot-small")


def bart(config: Config, fields: Fields) -> Fields:
    """Both stacks have the same widths and a table of positions each; BART's have a norm after their embedding.

    A class for causal language models is the decoder alone; it keeps the matrices of cross-attention, unused.
    """
    kind, hidden = config.model_type, fields.get("hidden") or 0
    for field, key in (("heads", "encoder_attention_heads"), ("ffn_hidden", "encoder_ffn_dim")):
        own = config.value((key,), int)
        if own is not None and own != fields.get(field) and not CAUSAL.search(config.architecture):
            config.fault(f"{key} {own} differs from the decoder's {fields.get(field)}, which is not supported", key)
    rows = (fields.get("position_rows") or 0) + (2 if kind in OFFSET_POSITIONS else 0)
    rows = 0 if kind in ("m2m_100", "whisper") else rows  # sinusoids that are no parameters; tables of their own
    stacks = 1 if CAUSAL.search(config.architecture) else 2
    if kind == "fsmt" and config.is_of_4:
        fields = fields | {"tied_embeddings": True}  # whatever the config says
    encoder, decoder = fields.get("encoder_layers") or 0, fields.get("layers") or 0
    alone: Fields = {}
    if stacks == 1:
        idle = 4 * (hidden * hidden + hidden) + 2 * hidden - (0 if fields.get("key_bias", True) else hidden)
        alone = {"architecture": "decoder", "encoder_layers": 0, "layer_extra_parameters": idle}
        encoder = 0
    return (
        fields
        | {
            "layers": encoder + decoder,
            "position_rows": stacks * rows or None,
            "extra_parameters": stacks * 2 * hidden if kind in EMBEDDING_NORMS else None,
        }
        | alone
    )
