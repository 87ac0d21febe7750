"""Open what listens for clients: the control socket and the page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jobscheduler.control.administration import Administration
from jobscheduler.control.alert_tests import AlertTestRequests
from jobscheduler.control.last_record_loader import LastRecordLoader
from jobscheduler.control.logged_runs import LoggedRuns
from jobscheduler.control.output_api import OutputService
from jobscheduler.control.past_runs import PastRuns
from jobscheduler.control.requested_runs import RequestedRuns
from jobscheduler.control.routes import ControlApi, OutputApi, build_app
from jobscheduler.control.run_finder import RunFinder
from jobscheduler.control.server import ControlServer, ListenError
from jobscheduler.control.service import ControlService
from jobscheduler.control.service_status import LiveIssues, ServiceStatusBuilder
from jobscheduler.control.service_view import LiveServiceView
from jobscheduler.control.snapshot_builder import SnapshotBuilder
from jobscheduler.model import EventLogger, Level, Problem
from jobscheduler.model.cluster_view import ClusterView
from jobscheduler.runlog import LogWriter
from jobscheduler.service.cluster_faces import NodeFaces, open_faces
from jobscheduler.service.errors import StartupError
from jobscheduler.service.guarded_calls import entered
from jobscheduler.service.open_log import OpenLog
from jobscheduler.service.optional_parts import PAGE
from jobscheduler.service.parts import Parts
from jobscheduler.service.socket_group_keeper import SocketGroupKeeper
from jobscheduler.service.supervision import Supervision
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.standard_output import is_standard_output


def open_listeners(
    parts: Parts, supervision: Supervision, opened: OpenLog, stack: ExitStack
) -> Callable[[float], None]:
    """Open the control socket, and the page if the settings ask for it; return the maintenance of the socket."""
    issues = supervision.issues
    checked, settings, stats = parts.checked, parts.checked.settings, parts.stats
    ask_log = partial(parts.checked.guard.call, checked.log_name)
    faces = open_faces(parts, supervision.node, stack)
    snapshots = _snapshots(parts, issues, opened, ask_log, faces)
    stored, requested = parts.outputs.stored(), RequestedRuns(parts.scheduler.runs.active)
    logged = LoggedRuns(settings.log_file, settings.log_backups, ask=ask_log, kept=opened.kept)
    finder = RunFinder(parts.scheduler, stats, requested, logged, stored)
    outputs = OutputService(finder, stored, lambda: list(parts.reconciler.active_state()[0]))
    is_kept = partial(_is_kept, parts.log, settings.log_file)
    last_record = stats.last_record if faces is None else faces.results.last_record
    control = ControlService(snapshots, parts.scheduler, parts.reconciler, requested, stored, is_kept, last_record)
    maintain_control = _open_control(parts, supervision, _Apis.of(control, outputs, faces, parts.log.event), stack)
    view = LiveServiceView(
        settings,
        snapshots,
        parts.scheduler,
        stats,
        issues,
        parts.recent,
        PastRuns(logged, stored, requested),
        ask_log,
        opened.kept if faces is None else faces.lines,
    )
    _open_page(parts, view, stack)
    return maintain_control


class _Apis(NamedTuple):
    """What the control socket offers: of a service on its own, or of a node of a cluster."""

    control: ControlApi
    outputs: OutputApi
    cluster: Callable[[], ClusterView | None]

    @classmethod
    def of(
        cls, control: ControlService, outputs: OutputService, faces: NodeFaces | None, log_event: EventLogger
    ) -> _Apis:
        """Return that of a node, if there are faces of one."""
        if faces is None:
            return cls(control, outputs, lambda: None)
        return cls(faces.control(control, partial(_report_error, log_event)), faces.outputs(outputs), faces.view)


def _snapshots(
    parts: Parts, issues: LiveIssues, opened: OpenLog, ask_log: Callable[..., Any], faces: NodeFaces | None
) -> SnapshotBuilder:
    """Build what describes the service and its jobs to clients."""
    checked, settings, stats = parts.checked, parts.checked.settings, parts.stats
    recent = parts.recent if checked.has_page else None
    service = ServiceStatusBuilder(
        settings,
        parts.scheduler,
        issues,
        jobs_dir=str(checked.directory or ""),
        database=str(checked.database),
        alerts=parts.alerts.waiting,
        notes=opened.notes,
        cluster=(lambda: None) if faces is None else faces.view,
        pauses=None if faces is None else lambda: faces.runs.in_force(parts.scheduler.pauses.in_force()),
    )
    load = LastRecordLoader(settings.log_file, settings.log_backups, stats, recent, ask_log)
    if faces is None:
        return SnapshotBuilder(service, parts.scheduler, parts.reconciler, stats, parts.standings, load)

    def read() -> None:
        load()
        faces.read()

    return SnapshotBuilder(service, parts.scheduler, parts.reconciler, faces.results, faces.standings, read, faces.runs)


def _open_control(parts: Parts, supervision: Supervision, apis: _Apis, stack: ExitStack) -> Callable[[float], None]:
    """Open the control socket and return its maintenance. If that fails, log a warning: jobs run without it."""
    log, guard, settings = parts.log, parts.checked.guard, parts.checked.settings
    path = settings.socket
    name = f"the control socket `{path}`"
    reconciler = parts.reconciler
    tests = AlertTestRequests(parts.alert_tests, reconciler.job, lambda: [*reconciler.active_state()[0]], log.event)
    administration = Administration(
        supervision.live.report, supervision.reloads, log.event, tests, supervision.issues.waiting_rules, apis.cluster
    )
    report = partial(_report_error, log.event)
    app = build_app(apis.control, administration, apis.outputs, report)
    try:
        control = stack.enter_context(entered(guard, name, ControlServer(path, app)))
    except (ListenError, StartupError) as error:
        log.event(Level.WARNING, "control.unavailable", problem=error.problem.message, help=error.problem.help)
        return lambda now: None
    keep_group = _group_keeping(parts, control)
    keep_group()

    def maintain(now: float) -> None:
        with suppress(CallHung):
            guard.call(name, partial(control.maintain, now))
            keep_group()

    return maintain


def _group_keeping(parts: Parts, control: ControlServer) -> Callable[[], None]:
    """Return what keeps the control socket open to the group of operators, if the settings name one."""
    checked, settings = parts.checked, parts.checked.settings
    if settings.socket_group is None:
        return lambda: None
    keeper = SocketGroupKeeper(
        settings.socket,
        settings.socket_group,
        lambda: control.made,
        checked.guard,
        checked.optional,
        parts.log.event,
    )
    return keeper.keep


def _report_error(log_event: EventLogger, problem: str) -> None:
    log_event(Level.ERROR, "control.failed", problem=problem)


def _is_kept(log: LogWriter, path: Path, timeout: float) -> bool:
    """Wait until everything so far is in the log's file, at most `timeout` seconds; return whether it is."""
    return log.flush(timeout) and not log.is_failing() and not is_standard_output(path)


def _open_page(parts: Parts, view: LiveServiceView, stack: ExitStack) -> None:
    """Start the web server if the settings ask for it, and log its URL; `WebServer` warns if it cannot bind."""
    address = parts.checked.settings.http
    if address is None or not parts.checked.has_page:
        return
    from jobscheduler.web import WebServer  # noqa: PLC0415 - few services have a page

    web = stack.enter_context(WebServer(address, view, token=parts.checked.web_token))
    if web.error is not None:
        parts.checked.optional.note(PAGE, [Problem(web.error, help="is the port taken? `--http` names another")])
    else:
        host, port = web.address
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        parts.log.event(Level.INFO, "page.served", url=url)
