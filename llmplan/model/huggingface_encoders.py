"""What the table of families cannot say of encoders and encoder-decoders, as `huggingface_fixes` does of decoders."""

from __future__ import annotations

from typing import Any

from llmplan.model.huggingface_config import Config

Fields = dict[str, Any]


def narrow_embedding(config: Config, fields: Fields) -> Fields:
    """ELECTRA and ALBERT: a narrow token table; ELECTRA-base has none, and then no projection."""
    same = fields.get("embedding_size") == fields.get("hidden") and config.model_type != "albert"
    if config.model_type == "albert" and (config.value(("inner_group_num",), int) or 1) != 1:
        config.fault("inner_group_num other than 1 is not supported", "inner_group_num")
    return fields | ({"embedding_size": None} if same else {})


def xlnet(config: Config, fields: Fields) -> Fields:
    """Two vectors of segments a layer, and the vector of masked tokens."""
    hidden = fields.get("hidden") or 0
    return fields | {"layer_extra_parameters": 2 * hidden, "extra_parameters": hidden}


def t5(config: Config, fields: Fields) -> Fields:
    """`feed_forward_proj` says whether the MLP is gated; the decoder is as deep as the encoder if not told."""
    kind = config.value(("feed_forward_proj",), str) or "relu"
    encoder = fields.get("encoder_layers") or 0
    decoder = config.value(("num_decoder_layers",), int) or encoder
    return fields | {"gated_mlp": kind.startswith("gated"), "layers": encoder + decoder}


NO_POSITION_TABLE = ("pegasus", "marian", "m2m_100")  # sinusoids
OFFSET_POSITIONS = ("bart", "mbart", "plbart")  # two rows more than tokens, as OPT
EMBEDDING_NORMS = ("bart", "mbart", "plbart", "blenderbot-small")


def bart(config: Config, fields: Fields) -> Fields:
    """Both stacks have the same widths and a table of positions each; BART's have a norm after their embedding."""
    kind, hidden = config.model_type, fields.get("hidden") or 0
    for field, key in (("heads", "encoder_attention_heads"), ("ffn_hidden", "encoder_ffn_dim")):
        own = config.value((key,), int)
        if own is not None and own != fields.get(field):
            config.fault(f"{key} {own} differs from the decoder's {fields.get(field)}, which is not supported", key)
    rows = (fields.get("position_rows") or 0) + (2 if kind in OFFSET_POSITIONS else 0)
    encoder, decoder = fields.get("encoder_layers") or 0, fields.get("layers") or 0
    return fields | {
        "layers": encoder + decoder,
        "position_rows": None if kind in NO_POSITION_TABLE else 2 * rows,
        "extra_parameters": 2 * 2 * hidden if kind in EMBEDDING_NORMS else None,
    }
