"""A run as it is judged: its history, and what the rules have found in it so far."""

from dataclasses import dataclass, field

from gainstage.check import Finding, Report
from gainstage.watch import _registry
from gainstage.watch.history import History
from gainstage.watch.reading import Header, Reading

Found = dict[tuple[str, str], tuple[int, Finding]]  # by code and place, with the step of the report that first did


@dataclass
class Judge:
    """Reads reports in their order.

    Attributes:
        history: the windows that the rules read.
        found: every finding, once.
    """

    history: History = field(default_factory=History)
    found: Found = field(default_factory=dict)
    asked: int = -(10**9)  # the step at which the rules were asked last

    def add(self, reading: Reading, *, apart: int = 0) -> list[Finding]:
        """One more report, and what it brings that was not found before.

        Args:
            reading: the next one.
            apart: steps; the rules are not asked more often, but for a loss that is not finite.
        """
        self.history.add(reading)
        return self.ask() if reading.nonfinite or reading.step - self.asked >= apart else []

    def ask(self) -> list[Finding]:
        """Ask the rules now."""
        if not self.history.readings or self.asked == self.history.now.step:
            return []
        self.asked, new = self.history.now.step, []
        for finding in _registry.findings(self.history):
            if (key := (finding.code, finding.where)) not in self.found:
                self.found[key] = (self.asked, finding)
                new.append(finding)
        return new

    def report(self, header: Header) -> Report:
        """What was found so far, causes first, as `check` reports it."""
        readings = self.history.readings
        found = _registry.folded(list(self.found.values()), header.every)
        sites = max((len(r.sites) for r in readings[-2:]), default=0)
        judged = tuple(sorted(_registry.WATCHED)) if readings else ()
        return Report(header.model, header.parameters, sites, found, (), judged)
