"""What is learned from: texts, pairs of answers, or answers that the model writes itself; and the models beside it.

A method says how many sequences an example has, which further models stand on the devices, and which passes without
gradients every sequence makes. Names and defaults are those of TRL; what differs elsewhere is said by options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.model.model import Model
from llmplan.records import dataclass, replace
from llmplan.vocabulary import Method

if TYPE_CHECKING:
    from llmplan.training.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Learning:
    """A method.

    sequences: of an example [1]; reference: whether a frozen copy of the model is compared with by default; head:
    whether logits over the vocabulary are made; critic: whether a second model of the same size is trained to tell the
    value of a state; judged: whether a frozen model of the same size gives rewards; writes: whether answers are
    generated while it trains; scored: passes without gradients beside the reference's [1].
    """

    sequences: int = 1
    reference: bool = False
    head: bool = True
    critic: bool = False
    judged: bool = False
    writes: bool = False
    scored: int = 0


METHODS: dict[Method, Learning] = {
    "sft": Learning(),
    "dpo": Learning(sequences=2, reference=True),
    "reward": Learning(sequences=2, head=False),
    "grpo": Learning(writes=True),
    "ppo": Learning(reference=True, critic=True, judged=True, writes=True, scored=3),
}
"""DPO: Rafailov et al. 2023, arXiv 2305.18290, equation 7 (chosen and rejected in one batch); reward models: Ouyang et
al. 2022, arXiv 2203.02155, equation 1; GRPO: Shao et al. 2024, arXiv 2402.03300 (without the term of the reference, as
in TRL since its `beta` is 0); PPO: Ouyang et al. 2022 (policy, values, reward, reference), whose passes without
gradients are those of the policy before the step, of the values and of the reward."""


def of(plan: TrainingPlan) -> Learning:
    """The method of a plan."""
    return METHODS[plan.workload.method]


def sequences(plan: TrainingPlan) -> float:
    """Sequences of an example [1]."""
    return 1.0 * of(plan).sequences


def trained_models(plan: TrainingPlan) -> float:
    """Models of this size that are trained [1]. With adapters the critic is a head on the same layers, of no size."""
    return 2.0 if of(plan).critic and not plan.lora else 1.0


def frozen_models(plan: TrainingPlan) -> float:
    """Models of this size that stand beside, frozen [1]. With adapters the base itself is the reference."""
    return 1.0 * of(plan).judged + 1.0 * (plan.workload.reference and not plan.lora)


def passes_without_gradients(plan: TrainingPlan) -> float:
    """Forward passes of a model of this size that every sequence makes beside its training [1]."""
    return 1.0 * (of(plan).scored + plan.workload.reference)


def fitted(model: Model, method: Method) -> Model:
    """The model as a method trains it: a reward model has one output in the place of its head."""
    if METHODS[method].head:
        return model
    return replace(model, head=False, head_parameters=model.hidden, tied_embeddings=False)
