"""Attention: logits of order 1."""

from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.roles._role import Role, Target


def attention(context: Context, use: Use) -> Target | None:
    """Weights of queries, keys and values, and those that read what attention gives."""
    if not (parts := context.attention_parts.get(use.site)):
        return None
    role = Role(f"{', '.join(parts)} weight", "attention")
    spread = context.logits_scale(use.site)
    if spread > 2:
        return Target(role, 1 / spread, "logits are not divided by the head size: this keeps them of order 1")
    makes_logits = "query" in parts or "key" in parts
    return Target(role, reason="writes a level of 1, which gives attention logits of order 1" if makes_logits else "")
