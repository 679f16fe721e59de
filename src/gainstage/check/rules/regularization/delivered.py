"""The rule about how much a DropBlock drops."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.dropblock import delivered, has_dropblock
from gainstage.check.facts.limits import DROPOUT_RATE
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

DROPBLOCK = Quantity(
    "dropped over asked share, or its inverse",
    note=Limit(
        1.25,
        "The one of timm delivers 1.4 to 2 times the rate, torchvision 0.7 to 0.94 (FACTS, 14 x 14).",
    ),
)


@rule("REG705", "note")
def dropblock_rate(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Runs every module whose class is called DropBlock alone, on ones of the size that it sees in this model, and
    compares the share of zeros with the rate that was asked for.

    ## Why is this bad?
    The published formula for the rate of block centres ignores that blocks overlap and end at the border. timm drops
    0.44 of a 14 x 14 map where 0.25 was asked, torchvision 0.20; a schedule found with one does not carry over.

    ## Known problems
    Modules are recognized by the name of their class and an attribute `drop_prob`, `p`, `drop_rate` or `rate`.

    ## Example
    ```python
    class DropBlock(nn.Module):
        def __init__(self, p, size):
            super().__init__()
            self.p, self.size = p, size

        def forward(self, x):
            if not self.training:
                return x
            centres = (torch.rand_like(x) < self.p).float()  # the rate of blocks, not of entries
            kept = 1 - F.max_pool2d(centres, self.size, 1, self.size // 2)
            return x * kept / kept.mean()

    model = nn.Sequential(nn.Conv2d(8, 8, 3), DropBlock(0.1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.randn(64, 8, 12, 12)
    ```

    ## Use instead
    ```python
    class DropBlock(nn.Module):
        def __init__(self, p, size):
            super().__init__()
            self.p, self.size = p, size

        def forward(self, x):
            if not self.training:
                return x
            rate = 1 - (1 - self.p) ** (1 / self.size**2)  # of centres, so that p of the entries are covered
            kept = 1 - F.max_pool2d((torch.rand_like(x) < rate).float(), self.size, 1, self.size // 2)
            return x * kept / kept.mean()

    model = nn.Sequential(nn.Conv2d(8, 8, 3), DropBlock(0.1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.randn(64, 8, 12, 12)
    ```

    ## References
    Ghiasi, Lin, Le, *DropBlock*, NeurIPS 2018, equation 1.
    """
    evidence.measured()
    if not has_dropblock(evidence.model):
        raise NotMeasured("no module is called DropBlock")
    for one in delivered(evidence):
        value = DROPBLOCK(max(one.dropped / one.asked, one.asked / max(one.dropped, 1e-12)), one.path)
        if value.number < DROPBLOCK.note:
            yield value
        else:
            yield Found(
                "warning" if one.dropped >= DROPOUT_RATE.note else "note",
                one.path,
                measured=f"drops {one.dropped:.3f} of a {'x'.join(map(str, one.shape[1:]))} input",
                expected=f"{one.asked:g}, the rate that was asked for",
                message=f"{one.dropped / one.asked:.2g} times the rate: overlap and borders of blocks are not counted",
                fix=evidence.fix("use gainstage.nn.DropBlock2d, which solves for the rate of blocks", []),
                value=value,
            )
