"""Claims any number of slots: in batches that a server takes, and one by one what corrects a wrong clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from jobscheduler.cluster import claims, corrections
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.values import Claim, ClaimResult, Term

AnsweredClaim = tuple[Claim, ClaimResult]  # a claim as it was made at last, and what became of it


def claim_slots(
    account: Account, term: Term, wanted: Sequence[Claim], new_run_id: Callable[[], str]
) -> list[AnsweredClaim]:
    """Write slots that have no row yet; return what became of each claim, in their order.

    A claim whose run id another slot has is made again with another one, and returned with that.

    Raises:
        Unavailable: the database cannot be used.
        Fenced: the lease is no longer of this term.

    """
    plain = [claim for claim in wanted if claim.corrects is None]
    fates = {claim.key: (claim, won) for claim, won in _claim_batches(account, term, plain, new_run_id)}
    for claim in wanted:
        if claim.corrects is not None:
            fates[claim.key] = claim, account.perform(corrections.correct, account.dialect, term, claim)
    return [fates[claim.key] for claim in wanted]


def _claim_batches(
    account: Account, term: Term, wanted: Sequence[Claim], new_run_id: Callable[[], str]
) -> Iterator[AnsweredClaim]:
    for batch in claims.batches(wanted):
        fates = list(zip(batch, account.perform(claims.claim, account.dialect, term, batch), strict=True))
        yield from (fate for fate in fates if fate[1] is not ClaimResult.CLASH)
        again = [replace(claim, run_id=new_run_id()) for claim, won in fates if won is ClaimResult.CLASH]
        yield from _claim_batches(account, term, again, new_run_id)
