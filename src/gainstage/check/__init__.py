"""What is wrong with a model at its start: probes give evidence, rules read it, findings say it."""

from gainstage._callable import make_callable
from gainstage.check import rules as rules
from gainstage.check._engine import check as check
from gainstage.check._registry import RULES as RULES
from gainstage.check._registry import NotMeasured as NotMeasured
from gainstage.check._registry import Rule as Rule
from gainstage.check._registry import rule as rule
from gainstage.check.baseline import Baseline as Baseline
from gainstage.check.baseline import fingerprint as fingerprint
from gainstage.check.baseline import only_new as only_new
from gainstage.check.config import Config as Config
from gainstage.check.evidence import Evidence as Evidence
from gainstage.check.findings import Finding as Finding
from gainstage.check.findings import Fix as Fix
from gainstage.check.findings import Found as Found
from gainstage.check.findings import NotJudged as NotJudged
from gainstage.check.findings import Report as Report
from gainstage.check.findings import Severity as Severity
from gainstage.check.findings import Value as Value
from gainstage.check.quantity import Limit as Limit
from gainstage.check.quantity import Quantity as Quantity

make_callable(__name__, check)
rules.load_others()
