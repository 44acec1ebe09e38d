from __future__ import annotations

from typing import Any

from llmplan.catalog.catalog import open_catalog
from llmplan.search.ask import Ask, Wishes
from llmplan.search.request import question
from llmplan.search.training import Search
from llmplan.setup.request import request

PLAN = ("model", "hardware", "workload", "seq_len", "global_batch", "stack", "flash_attention", "tokens", "optimizer",
        "sequence_parallel", "offload_optimizer", "lora_rank", "lora_targets", "quantized_base",
        "dp_replicate")  # fmt: skip


def asked(wishes: Wishes | None = None, **words: Any) -> Search:
    """The search that a user's words ask for."""
    plain = {name: value for name, value in words.items() if name in PLAN}
    given = {name: value for name, value in words.items() if name not in PLAN}
    return question(Ask(request(plain), given, wishes or Wishes(top=5)), open_catalog())[0]
