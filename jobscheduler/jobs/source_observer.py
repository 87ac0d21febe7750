"""Read the items of the sources that have changed, parse them, and put what they say into the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from jobscheduler.jobs.catalog import SETTLE_DELAY_S, Catalog
from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.jobs.problem_wording import reword_problem
from jobscheduler.jobs.schedule_updater import Stopping
from jobscheduler.jobs.source_state import TrackedSource
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable, SourceView
from jobscheduler.model import Job, Problem, name_sort_key
from jobscheduler.util.exposed_secrets import exposed_in_definition
from jobscheduler.util.exposure_log import ExposureLog
from jobscheduler.util.text import format_error


class SourceObserver:
    """Observes sources for the catalog.

    Lock: the caller holds that of the reconciler.
    """

    def __init__(
        self,
        sources: Sequence[TrackedSource],
        catalog: Catalog,
        context: ParseContext,
        active_items: Callable[[], Iterable[str]],
        *,
        exposures: ExposureLog,
        now: Callable[[], datetime],
        is_stopping: Callable[[], bool],
    ) -> None:
        """`active_items` returns the names of the items of active jobs. `exposures` gets the secrets that items show.

        Its files are named as the items are.
        """
        self._sources = sources
        self._catalog = catalog
        self._context = context
        self._active_items = active_items
        self._exposures = exposures
        self._now = now
        self._is_stopping = is_stopping

    def replace_context(self, context: ParseContext) -> None:
        """Parse in another context from now on, and read every item again at the next sync."""
        self._context = context
        self._catalog.invalidate_all()

    def observe(self, names: set[str] | None, now: float) -> list[TrackedSource]:
        """Read these items, or all that have changed, of every source; return the sources that are available.

        `now` is monotonic.

        Raises:
            Stopping: the service stops.

        """
        return [source for source in self._sources if self._observe_source(source, names, now)]

    def are_unchanged(self, *, has_synced: bool) -> bool:
        """Return whether no source needs a sync: each is unavailable, or complete and where it was.

        `has_synced` says that the last sync came to its end. Without that every available source needs one.
        """
        unchanged = [self._is_unchanged(source, has_synced) for source in self._sources]  # each of them is opened
        return all(unchanged)

    def source_of(self, name: str) -> TrackedSource:
        """Return the source to which an item belongs."""
        return next(source for source in self._sources if source.covers(name))

    def read_raw(self, name: str) -> bytes:
        """Return the text of an item as it is now; empty if it cannot be read."""
        try:
            with self.source_of(name).source.open() as view:
                return view.read(name).raw or b""
        except SourceUnavailable:
            return b""

    def _is_unchanged(self, source: TrackedSource, has_synced: bool) -> bool:
        try:
            with source.source.open() as view:
                return has_synced and source.is_complete and view.is_same_place()
        except SourceUnavailable as reason:
            source.set_unavailable(reason, self._active_items())
            return True

    def _observe_source(self, source: TrackedSource, names: set[str] | None, now: float) -> bool:
        """Read these items of a source, or all if it was incomplete or is another; return whether it is available."""
        everything = names is None or not source.is_complete
        source.begin_sync()
        try:
            with source.source.open() as view:
                self._observe_items(source, view, None if everything else names, now)
        except SourceUnavailable as reason:
            source.set_unavailable(reason, self._active_items())
            return False
        source.set_complete()
        return True

    def _observe_items(self, source: TrackedSource, view: SourceView, names: set[str] | None, now: float) -> None:
        if source.is_unavailable:  # another image on the same mount may look the same
            self._catalog.invalidate_all(source.covers)
        if names is None or not view.is_same_place():
            names = self._changed_items(source, view)
        source.set_listed()
        wanted = names | set(self._catalog.due_for_recheck(now))
        for item in view.read_all(sorted(filter(source.covers, wanted), key=name_sort_key)):
            if self._is_stopping():
                raise Stopping
            age = self._age(source, item)
            self._catalog.observe(
                item.name, item.fingerprint, self._parse_item(source, item), now, age=age, reread=item.reread
            )
            self._observe_exposure(item, now, age)

    def _observe_exposure(self, item: ReadResult, now: float, age: float) -> None:
        """Note the secrets that an item shows to all users. Of one that could not be read nothing is known."""
        if item.is_missing:
            self._exposures.observe(item.name, None, now)
        elif item.raw is not None:
            found = exposed_in_definition(item.raw, item.public_path) if item.public_path is not None else ()
            self._exposures.observe(item.name, found, now, age=age)

    def _age(self, source: TrackedSource, item: ReadResult) -> float:
        """Return for how many seconds an item has been as it is now, as far as that counts.

        At the first sync an old file is old news. Later every change has to settle, whatever the time of its file.
        """
        if source.source.is_atomic:
            return SETTLE_DELAY_S
        return max(0.0, self._now().timestamp() - item.modified_at) if source.is_new else 0.0

    def _changed_items(self, source: TrackedSource, view: SourceView) -> set[str]:
        """Return the items that were added, changed or removed, and those whose problems may have healed."""
        listed, known = view.list_items(), self._catalog.fingerprints()
        may_have_healed = set(self._catalog.host_dependent_items())
        if listed == known:  # the usual case, quickly found for thousands of files
            return may_have_healed
        differing = {name for name, fingerprint in listed.items() if known.get(name) != fingerprint}
        removed = {name for name, fingerprint in known.items() if name not in listed and fingerprint is not None}
        return differing | set(filter(source.covers, removed)) | may_have_healed

    def _parse_item(self, source: TrackedSource, item: ReadResult) -> Job | tuple[Problem, ...] | None:
        """Parse one item. An error of ours, or of a plug-in's task type, is a problem of this item alone."""
        if item.problem is not None:
            return (item.problem,)
        if item.raw is None:
            return None
        try:
            result = parse(item.raw, item.name, self._context, datetime.fromtimestamp(item.modified_at, UTC))
        except Exception as error:
            message = f"the definition cannot be checked: {format_error(error)}"
            help_ = "this is a fault of the scheduler or of the task type, not of the file; please report it"
            return (Problem(message, file=item.name, help=help_, host_dependent=True),)
        if isinstance(result, Job):
            return result
        return tuple(reword_problem(source.source.noun, problem) for problem in result)
