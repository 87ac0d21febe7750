"""Say what putting files in force would change: the catalog and the plan of a sync, on a copy of what is in force.

It is the same code that a sync runs, so it cannot say anything else than what then happens. Pure: no file is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from jobscheduler.jobs.catalog import SETTLE_DELAY_S, Catalog, ItemState, ItemStatus
from jobscheduler.jobs.plan import Plan, make_plan
from jobscheduler.model import Job, Problem, name_sort_key

_UNREAD = ()  # the fingerprint of an item that is not compared by it


@dataclass(frozen=True, slots=True)
class ItemInForce:
    """An item as the service has it: its last good definition, and whether that is the one in force.

    `is_bad` says that it cannot be read as a job now.
    """

    name: str
    job: Job | None
    is_active: bool
    is_bad: bool = False


def related_items(
    items: Iterable[tuple[str, Job | None, ItemStatus]], names: Collection[str], job_ids: Collection[str]
) -> list[tuple[str, Job | None, ItemStatus]]:
    """Return the items that may change when those of these names get these jobs: all that share a name or an id."""
    items, wanted = list(items), set(job_ids)
    wanted |= {job.id for name, job, _ in items if name in names and job is not None}
    return [item for item in items if item[0] in names or (item[1] is not None and item[1].id in wanted)]


@dataclass(frozen=True, slots=True)
class Preview:
    """What would change, against `before`: the jobs in force. `after` are those then.

    `items` has the state of each file that was looked at, and of every other item whose state would change.
    """

    before: Mapping[str, Job]
    after: Mapping[str, Job]
    plan: Plan
    items: Mapping[str, ItemStatus]

    @property
    def refused(self) -> dict[str, ItemStatus]:
        """The items that would not be in force as they are written."""
        return {
            name: status for name, status in self.items.items() if status.state in {ItemState.REFUSED, ItemState.STALE}
        }


Results = Mapping[str, Job | tuple[Problem, ...] | None]


def preview(in_force: Iterable[ItemInForce], results: Results, now: datetime) -> Preview:
    """Return what would change if each of these items gave this result; None is one that is removed."""
    catalog = _catalog(in_force)
    before = dict(catalog.desired)
    started = SETTLE_DELAY_S  # on the clock of the catalog, which only moves forward
    for name in sorted(results, key=name_sort_key):
        catalog.observe(name, _UNREAD, results[name], started)
    settled = started + 2 * SETTLE_DELAY_S
    catalog.apply_settled(settled)
    plan = make_plan(catalog.desired, before, now, catalog.pop_changed_ids())
    changed = {change.name: change.after for change in catalog.pop_changes(settled + 2 * SETTLE_DELAY_S)}
    looked_at = {name: catalog.status(name) for name, result in results.items() if result is not None}
    return Preview(before, dict(catalog.desired), plan, {**changed, **looked_at})


def _catalog(in_force: Iterable[ItemInForce]) -> Catalog:
    """Return a catalog in which the items in force have their ids, and the others wait for theirs."""
    catalog = Catalog()
    for item in sorted(in_force, key=lambda item: (not item.is_active, name_sort_key(item.name))):
        if item.job is not None:
            catalog.observe(item.name, _UNREAD, item.job, 0.0)
        if item.is_bad:
            catalog.observe(item.name, _UNREAD, (Problem("it cannot be read as a job"),), 0.0)
    catalog.apply_settled(SETTLE_DELAY_S)
    catalog.pop_changed_ids()
    catalog.pop_changes(SETTLE_DELAY_S)
    return catalog
