"""How a study was made, in sentences: what was tuned, on which part of the data, what the intervals are."""

from typing import TYPE_CHECKING

from gainstage.report.study._details import StudyDetails, engines, run
from gainstage.report.study._numbers import rate, score

if TYPE_CHECKING:
    from gainstage.study import Results


def method(results: "Results", details: StudyDetails) -> tuple[str, ...]:
    """The paragraphs of the method, without markup."""
    return tuple(
        filter(None, (_data(results), _rates(results), _runs(results), _statistics(results), _made(results, details)))
    )


def _data(results: "Results") -> str:
    if not results.steps:
        return f"What is reported is the {results.score} that a function of the user returned for an arm and a seed."
    return (
        f"Data: {results.data}, split into a training, a validation and a test part that are the same for all arms. "
        "Inputs are standardized with numbers of the training part. What is reported is the "
        f"{results.score} on the test part at the end of training, which nothing was chosen by."
    )


def _rates(results: "Results") -> str:
    tuned = [each for each in results.arms if each.tried]
    if not tuned:
        return "Learning rates were given, not tuned."
    tried = sorted({lr for each in tuned for lr, _ in each.tried})
    edges = sum(each.at_edge for each in tuned)
    some = f"{len(tuned)} of {len(results.arms)} arms" if len(tuned) < len(results.arms) else "every arm"
    said = (
        f"The learning rate of {some} was tuned: the best of a grid, within {rate(tried[0])} to {rate(tried[-1])}, by "
    )
    said += "the validation part, with seeds that are not reported."
    return said + f" For {edges} of them the best rate is at the end of the grid." * bool(edges)


def _runs(results: "Results") -> str:
    seeds = results.seeds
    listed = f"{seeds[0]} to {seeds[-1]}" if seeds == tuple(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 1 else ""
    listed = listed or ", ".join(map(str, seeds))
    failures = sum(each.failures for each in results.arms)
    said = (
        f"Every arm was trained for {results.steps:,} steps with the seeds {listed}. A seed means the same batches in "
    )
    said += "the same order for all arms, so that differences are taken seed by seed."
    if not results.steps:
        said = f"Every arm was run with the seeds {listed}, and differences are taken seed by seed."
    return said + (
        f" {failures} runs failed; they count with the score of guessing, {score(results.guess)}." if failures else ""
    )


def _statistics(results: "Results") -> str:
    return (
        f"Intervals are 95 % t intervals over {len(results.seeds)} seeds: of the mean, or of the mean of paired "
        "differences. They are about the chance of the seed; the samples are given. IQM is the mean of the middle half "
        "of the scores, area the mean height of the learning curve. A choice matters where two of its levels differ by "
        f"at least {score(results.margin)} with Holm's p below 0.05 over all pairs; it does not matter where the "
        f"interval of every pair lies within ±{score(results.margin)}; else these seeds cannot tell."
    )


def _made(results: "Results", details: StudyDetails) -> str:
    versions = ", ".join(f"{name} {told}" for name, told in details.versions.items())
    trained = f"{engines(results)}."
    return " ".join(
        filter(None, (trained[0].upper() + trained[1:], run(details), versions and f"Made with {versions}."))
    )
