"""The base of the exceptions that carry a problem."""

from __future__ import annotations

from typing import ClassVar

from jobscheduler.model import Problem


class ProblemError(Exception):
    """Something cannot go on because of `problem`, which says why and what to do.

    `exit_status` is that of a verb that ends by it: 1 problem, 2 wrong usage, 3 no service.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems; there may be several."""
        return (self.problem,)
