"""The term for which the scheduler of this node decides: the one for which it has accounted for the gap before."""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.cluster.values import Term


class LeadingTerm:
    """The present term, as long as the node holds the lease for it: calling it returns the term, else None.

    A node may lose the lease and take it again before its scheduler has noticed. What is decided meanwhile is of no
    term: the scheduler has to stand by, and to account for the gap, before it decides in the next one.

    Thread: any.
    """

    def __init__(self, held: Callable[[], Term | None]) -> None:
        """`held` returns the term for which this node has the lease now."""
        self._held = held
        self._term: Term | None = None
        self._accounted: Term | None = None

    def __call__(self) -> Term | None:
        """Return the term for which decisions of now count."""
        term = self._term
        return term if term is not None and self._held() == term else None

    def accounted(self) -> Term | None:
        """Return the term for which the scheduler leads, and knows all that the leaders before have left.

        An outcome that is observed earlier is forgotten when the scheduler takes over what they knew of its job.
        """
        term = self()
        return term if term == self._accounted else None

    def begin(self, term: Term) -> None:
        """Decide in this term from now on. Call it before the scheduler leads."""
        self._accounted = None
        self._term = term

    def note_accounted(self) -> None:
        """Note that the scheduler leads now."""
        self._accounted = self._term

    def leave_outcomes(self) -> None:
        """Leave outcomes to the next leader from now on, and decide on until `end`."""
        self._accounted = None

    def end(self) -> None:
        """Decide no more. Call it before the scheduler stands by."""
        self._term = self._accounted = None
