"""What the control socket and the page of a node offer beside what a service on its own does.

Only this module imports what answers people from the database of a cluster, and only on a node.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from jobscheduler.control.leader_requests import ClusterControl, LeaderRequests
from jobscheduler.control.output_api import OutputService
from jobscheduler.control.runs_elsewhere import ClusterOutputs, RunsElsewhere
from jobscheduler.control.service import ControlService
from jobscheduler.control.shared_account import SharedRecords, SharedResults, SharedRuns, SharedStandings
from jobscheduler.control.shared_history import HistoryPage
from jobscheduler.model import Problem
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.service.parts import Parts
from jobscheduler.status.snapshot import Conflict

if TYPE_CHECKING:
    from jobscheduler.cluster.account_lines import AccountLines
    from jobscheduler.cluster.node import ClusterNode, NodeAccount
    from jobscheduler.cluster.node_requests import NodeRequests
    from jobscheduler.cluster.values import Term


class NodeFaces:
    """The faces of a node: how its jobs stand by the account, and who does what is asked of it. Thread: any."""

    def __init__(
        self, parts: Parts, account: NodeAccount, node: ClusterNode, requests: NodeRequests, records: SharedRecords
    ) -> None:
        """`requests` reads the account, and gives `records` what it finds."""
        self._parts = parts
        self._account = account
        self._node = node
        self._requests = requests
        self._decides = partial(_decides, parts)
        known = lambda: requests.reader.known  # noqa: E731
        self.results = SharedResults(parts.stats, records)
        self.standings = SharedStandings(parts.standings, records, known, self._decides)
        self.runs = SharedRuns(known, node.name, self._decides)
        self.view = node.view

    def read(self) -> None:
        """Read the account, if that is due; wait for it a moment at most."""
        self._requests.reader.news()

    def control(self, own: ControlService, report_error: Callable[[str], object]) -> ClusterControl:
        """Return the functions of the control socket; from now on those of other nodes are answered, too."""
        self._requests.answer(self._account.news.asked, self._term, LeaderRequests(own, report_error).perform)
        return ClusterControl(
            own, self._decides, self._requests.ask, RunsElsewhere(self._requests.reader), self._read_history
        )

    def outputs(self, own: OutputService) -> ClusterOutputs:
        """Return the outputs of this node and of the others."""
        return ClusterOutputs(own, self._requests.reader, self.results.last_record, self._node.name)

    @property
    def lines(self) -> AccountLines:
        """The records of all nodes, for the page."""
        return self._requests.lines

    def _read_history(self, wanted: LogFilter, most: int, before: str | None) -> HistoryPage:
        from jobscheduler.database import Unavailable  # noqa: PLC0415 - an extra

        try:
            lines, place = self._requests.lines.page_of_text(wanted, most, before)
        except Unavailable as reason:
            raise Conflict(Problem(str(reason), help=reason.help)) from None
        return HistoryPage(tuple(lines), place)

    def _term(self) -> Term | None:
        """Return the term for which this node decides now."""
        return self._account.lease.term() if self._node.leads and self._decides() else None


def _decides(parts: Parts) -> bool:
    return parts.scheduler.leadership.decides


def open_faces(parts: Parts, node: ClusterNode | None, stack: ExitStack) -> NodeFaces | None:
    """Open what a node needs to answer people; None for a service on its own."""
    url = parts.checked.cluster_url
    if node is None or parts.account is None or url is None:
        return None
    from jobscheduler.cluster.node_requests import NodeRequests  # noqa: PLC0415 - an extra

    records = SharedRecords()
    requests = stack.enter_context(NodeRequests(url, node.name, records.observe))
    return NodeFaces(parts, parts.account, node, requests, records)
