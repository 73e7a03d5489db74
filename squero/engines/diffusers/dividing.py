"""How the work of a transformer is divided among ranks: by context, and by guidance."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig, ParallelConfig

from squero.engines.diffusers.options import Parallel, Unready
from squero.engines.diffusers.ranks import Ranks

FIRST = frozenset({"cond", "pred_cond"})
SECOND = frozenset({"uncond", "pred_uncond"})
BOTH = "cond_uncond"
"""The names of a pipeline's calls: with the prompt, with the negative one, with both at once."""


def divide(pipeline: Any, transformer: Any, ranks: Ranks) -> None:
    """Have every rank compute its part of the transformer's calls; raises Unready."""
    if ranks.parallel.context > 1:
        split(transformer, ranks)
    if ranks.parallel.cfg_degree > 1:
        turns = Turns(pipeline, transformer, ranks)
        transformer.cache_context, transformer.forward = turns.context, turns.forward


def split(transformer: Any, ranks: Ranks) -> None:
    """Have diffusers split what a transformer looks at; raises Unready where it cannot."""
    kind = type(transformer).__name__
    plan = transformer._cp_plan
    # LTX-2's video looks at its sound by places that the plan leaves whole, and that no longer fit.
    if plan is None or (hasattr(transformer, "cross_attn_rope") and "cross_attn_rope" not in plan):
        raise Unready(f"options.parallel: diffusers cannot split the context of {kind}")
    if ranks.place == "cpu":
        transformer._resolve_parallel_config = lambda config: resolved(transformer, config, ranks)
    try:
        transformer.enable_parallelism(config=context_of(ranks.parallel, ranks.mesh))
    except ValueError as wrong:
        raise Unready(f"options.parallel: {' '.join(str(wrong).split())}") from None


def context_of(parallel: Parallel, mesh: Any) -> ContextParallelConfig:
    """In diffusers' words; the parts need not be equally long."""
    return ContextParallelConfig(
        ring_degree=parallel.ring_degree,
        ulysses_degree=parallel.ulysses_degree,
        ring_anything=parallel.ring_degree > 1,
        ulysses_anything=parallel.ulysses_degree > 1,
        mesh=mesh,
    )


def resolved(transformer: Any, config: ContextParallelConfig, ranks: Ranks) -> ParallelConfig:
    """What diffusers makes of it where there is an accelerator, to be counted by."""
    whole = ParallelConfig(context_parallel_config=config)
    count = ranks.parallel.ranks
    whole.setup(ranks.rank, count, torch.device(ranks.place), mesh=ranks.mesh)
    transformer._parallel_config = whole
    return whole


class Turns:
    """Of the two calls of a step, or the two halves of its one call, each branch computes one.

    The second branch cannot know the first call's answer when it is asked for it, and returns one
    that is empty; pipelines do not look at it before the second call, which fills it.
    """

    def __init__(self, pipeline: Any, transformer: Any, ranks: Ranks) -> None:
        self._pipeline = pipeline
        self._branch = ranks.branch
        self._group = ranks.mesh["cfg"].get_group()
        self._forward = transformer.forward
        self._context = transformer.cache_context
        self._name = ""
        self._first: torch.Tensor | None = None

    @contextmanager
    def context(self, name: str, **more: Any) -> Iterator[None]:
        """In the place of the transformer's `cache_context`, which says which call comes."""
        with self._context(name, **more):
            self._name = name
            try:
                yield
            finally:
                self._name = ""

    def forward(self, **given: Any) -> Any:
        """In the place of the transformer's."""
        if self._name in FIRST:
            self._first = None
            if is_guided(self._pipeline):
                return (self._answer(given),)
        if self._name in SECOND and self._first is not None:
            return (self._exchanged(given, self._first),)
        if self._name == BOTH and len(given["hidden_states"]) % 2 == 0:
            return self._halved(given)
        return self._forward(**given)

    def _answer(self, given: Mapping[str, Any]) -> torch.Tensor:
        empty = given["hidden_states"].new_empty(0)
        self._first = empty if self._branch else self._forward(**given)[0]
        return self._first

    def _exchanged(self, given: Mapping[str, Any], first: torch.Tensor) -> torch.Tensor:
        own = self._forward(**given)[0] if self._branch else first
        answers = self._gathered(own)
        if self._branch:
            first.set_(answers[0])
        self._first = None
        return answers[1]

    def _halved(self, given: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
        count = len(given["hidden_states"])
        half = {
            name: value.chunk(2)[self._branch]
            if isinstance(value, torch.Tensor) and value.ndim and len(value) == count
            else value
            for name, value in given.items()
        }
        return tuple(torch.cat(self._gathered(one)) for one in self._forward(**half))

    def _gathered(self, own: torch.Tensor) -> list[torch.Tensor]:
        own = own.contiguous()
        answers = [torch.empty_like(own), torch.empty_like(own)]
        dist.all_gather(answers, own, group=self._group)
        return answers


def is_guided(pipeline: Any) -> bool:
    """Whether a second call follows the first."""
    guider = getattr(pipeline, "guider", None)
    if guider is not None:
        return bool(guider.num_conditions == 2)
    return bool(pipeline.do_classifier_free_guidance)
