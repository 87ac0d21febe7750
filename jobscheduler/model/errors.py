"""The base of the exceptions that carry a problem."""

from __future__ import annotations

from jobscheduler.model import Problem


class ProblemError(Exception):
    """Something cannot go on because of `problem`, which says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
