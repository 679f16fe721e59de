"""Weights scaled by the activation that reads them, and GPT-2's share of a residual stream."""

from gainstage import init
from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.schemes._rule import Rule, Said
from gainstage.theory import behind


def orthogonal(context: Context) -> Rule:
    r"""Orthogonal weights, times the exact gain $1/\sqrt{\mathbb{E}[\phi(z)^2]}$ of the activation behind each.

    A square weight then keeps the level of a signal through the activation; without a gain a ReLU halves it at every
    layer. Where nothing elementwise follows (a head, a normalization) the gain is 1.

    References:
        Saxe, McClelland & Ganguli, *Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks*, ICLR 2014.
    """

    def rule(use: Use, part: str) -> Said | None:
        phi = behind(context.graph, use.site) if use.slot == "weight" else None
        if phi is None or not phi.name or not phi.level() > 0:
            return None
        gain = float(f"{phi.gain:.4g}")
        return Said(init.orthogonal(gain), f"scheme 'orthogonal', times {gain:.3g}, the gain of {phi.name}")

    return rule


def gpt2(context: Context) -> Rule:
    """The last weight of each of n residual branches is divided by sqrt(n), and embeddings start at 0.02 too.

    References:
        Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019, section 2.3.
    """

    def rule(use: Use, part: str) -> Said | None:
        if use.slot == "table":
            return Said(init.normal(0.0, 0.02), "scheme 'gpt2'")
        branch = context.branch_ending_at.get(use.site)
        if branch is None or use.slot != "weight":
            return None
        count = context.stream_sizes[branch.stream]
        law = init.normal(0.0, 0.02).scaled(count**-0.5)
        return Said(law, f"scheme 'gpt2': last weight of one of {count} residual branches")

    return rule
