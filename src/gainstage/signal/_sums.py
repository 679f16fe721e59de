"""Fixed sums: which sites add up what they read with fixed factors, found by evaluating them.

`0.5 * h + b`, `torch.lerp(h, b, 0.5)` and `torch.stack([h, b]).mean(0)` are all sums of the form x h + y b. No spelling
is looked for: the functions on the tape are called again on random numbers, and where one sum explains every answer,
the site is that sum.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gainstage.signal import ops
from gainstage.signal._again import drawn, put
from gainstage.signal._sites import Ref, Site, Sites

Terms = dict[Ref, float]


class Sums:
    """The fixed sums of one tape.

    Args:
        tape: the pass.
        constant: sites that do not depend on the inputs.
        consumers: for every site, those that read it.
    """

    def __init__(self, tape: Sites, constant: frozenset[int], consumers: Mapping[int, list[int]]) -> None:
        self.sites, self.constant, self.consumers = tape.sites, constant, consumers
        self.outputs = {ref.site for ref in tape.outputs}
        self._factors: dict[int, Terms] = {}
        self._terms: dict[int, Terms] = {}
        for site in tape.sites:
            if (found := self._evaluate(site)) is not None:
                self._factors[site.index] = found
                opened = self._opened(found, True)
                self._terms[site.index] = opened if len(opened) <= 2 else self._opened(found, False)

    def terms(self, index: int) -> Terms:
        """What a site adds up, and with which factors; of a site that is no fixed sum, itself.

        Sums that nothing else reads are opened: `(h + b) / 2` has the terms h and b. A sum of two is not opened into a
        longer one: in `(a + b) + h` it is a term.
        """
        return self._terms.get(index, {Ref(index): 1.0})

    def scales(self, index: int) -> bool:
        """Whether a site is one signal times a fixed factor."""
        return len(self._factors.get(index, {})) == 1

    def factor(self, index: int, read: int) -> float | None:
        """The factor with which a fixed sum takes one of the sites that it reads; None where it is none."""
        found = [factor for ref, factor in self._factors.get(index, {}).items() if ref.site == read]
        return found[0] if len(found) == 1 else None

    def ends(self, index: int) -> bool:
        """Whether a sum is complete here: no further operation only scales it, or adds the same terms again."""
        here, terms = index, self._terms.get(index, {})
        while self._private(Ref(here)) and self._terms.get(self.consumers[here][0], {}).keys() == terms.keys():
            here = self.consumers[here][0]
            if self.sites[here].kind == "op":
                return False
        return True

    def _opened(self, factors: Terms, sums: bool) -> Terms:
        total: Terms = {}
        for ref, factor in factors.items():
            inner = self.terms(ref.site) if ref.site in self._factors and self._private(ref) else {ref: 1.0}
            if len(inner) > 1 and not sums:
                inner = {ref: 1.0}
            for term, share in inner.items():
                total[term] = total.get(term, 0.0) + factor * share
        return {term: factor for term, factor in total.items() if abs(factor) > 1e-9}

    def _private(self, ref: Ref) -> bool:
        """Whether one site reads it, and nobody else."""
        return ref.output == 0 and len(self.consumers[ref.site]) == 1 and ref.site not in self.outputs

    # --- evaluating ------------------------------------------------------------------------------------------------

    def _evaluate(self, site: Site) -> Terms | None:
        op = ops.of(site)
        if not op.adds or site.kind == "loss" or site.index in self.constant or not _is_real(site):
            return None
        if op.kind == "rearrange":
            return {site.inputs[0]: 1.0} if self.sites[site.inputs[0].site].shape == site.shape else None
        if op.kind == "product" and len(site.inputs) == 2:
            return self._measured(site)
        if site.function is None:
            return None
        reads = list(dict.fromkeys(self._operands(site)))
        shapes = [self.sites[ref.site].shape for ref in reads]
        if site.shape not in shapes or any(ref.site in self.constant for ref in reads) or not _all_real(self, reads):
            return None
        return self._solve(site, reads)

    def _measured(self, site: Site) -> Terms | None:
        """A signal times one number that stands in a tensor: the tape keeps no values, so levels tell which."""
        data, numbers = ([r for r in site.inputs if (r.site in self.constant) == fixed] for fixed in (False, True))
        if len(data) != 1 or not self._is_number(numbers[0].site):
            return None
        before, after = self.sites[data[0].site], site.forward
        while before.forward is None and before.kind == "view":
            before = self.sites[before.inputs[0].site]
        if after is None or before.forward is None:
            return None
        ratio = after.mean_square / before.forward.mean_square if before.forward.mean_square > 0 else 0.0
        return {data[0]: ratio**0.5} if 0 < ratio < float("inf") else None

    def _is_number(self, index: int) -> bool:
        """Whether a constant is one number, and not learned."""
        site = self.sites[index]
        one = torch.Size(site.shape).numel() == 1 and site.kind != "parameter"
        return one and all(self._is_number(ref.site) for ref in site.inputs)

    def _operands(self, site: Site) -> Iterator[Ref]:
        """What a site reads, through tensors that are only put together to be added up; fixed factors left out."""
        for ref in site.inputs:
            inner = self.sites[ref.site]
            if self._is_wrapping(inner):
                yield from self._operands(inner)
            elif not (ops.of(site).name in _FACTORS and inner.kind in ("constant", "buffer")):
                yield ref

    def _is_wrapping(self, site: Site) -> bool:
        if not self._private(Ref(site.index)) or site.function is None or site.index in self.constant:
            return False
        if site.kind == "view" and len(site.inputs) == 1 and self.consumers[site.index]:
            reader, size = ops.of(self.sites[self.consumers[site.index][0]]), torch.Size(site.shape).numel()
            return reader.kind == "join" and size == torch.Size(self.sites[site.inputs[0].site].shape).numel()
        return ops.of(site).kind == "join"

    def _solve(self, site: Site, reads: list[Ref]) -> Terms | None:
        """The factors under which all answers of the site are one sum of what it reads; None where there are none."""
        generator = torch.Generator().manual_seed(site.index)
        columns: list[list[Tensor]] = [[] for _ in reads]
        answers = []
        try:
            for _ in range(len(reads) + 2):
                values = {
                    ref: torch.randn(
                        _small(self.sites[ref.site].shape), generator=generator, dtype=torch.float64, device="cpu"
                    )
                    for ref in reads
                }
                with torch.no_grad():
                    answer = self._value(Ref(site.index), values)
                for column, value in zip(columns, values.values(), strict=True):
                    column.append(value.expand(_small(site.shape)).flatten())
                if answer.shape != _small(site.shape):
                    return None
                answers.append(answer.flatten())
        except Exception:  # foreign functions refuse small tensors in many ways
            return None
        matrix, answer = torch.stack([torch.cat(column) for column in columns], 1), torch.cat(answers).double()
        if not bool(answer.isfinite().all()):  # times NaN
            return None
        solved = torch.linalg.lstsq(matrix, answer[:, None]).solution[:, 0]
        factors = solved.new_tensor([float(f"{factor:.9g}") for factor in solved.tolist()])  # LAPACK's last bits vary
        if not torch.allclose(matrix @ factors, answer, rtol=0.0, atol=1e-5 * float(answer.abs().max())):
            return None
        return dict(zip(reads, factors.tolist(), strict=True))

    def _value(self, ref: Ref, values: Mapping[Ref, Tensor]) -> Tensor:
        if ref in values:
            return values[ref]
        site = self.sites[ref.site]
        if site.is_leaf:  # a fixed factor, whose numbers the tape does not keep
            return torch.ones(_small(site.shape), dtype=torch.float64, device="cpu")
        args, kwargs = (put(given, lambda inner: self._value(inner, values)) for given in (site.args, site.kwargs))
        answer: Tensor = drawn(0, site.function, args, kwargs)
        return answer


_FACTORS = ("addcmul", "addcdiv")  # of these a tensor that is not data is a factor


def _is_real(site: Site) -> bool:
    return site.dtype.startswith(("float", "bfloat"))


def _all_real(sums: Sums, reads: list[Ref]) -> bool:
    return bool(reads) and all(_is_real(sums.sites[ref.site]) for ref in reads)


def _small(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape of the same axes with at most two entries along each."""
    return tuple(min(size, 2) for size in shape)
