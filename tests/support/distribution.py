"""How the tests are handed to the processes that run them: in which order, and which of them stay together.

A file is handed out as a whole, so what its tests share is made once. Those of `SPLIT` share nothing and take long:
each of their tests is handed out by itself, so no process is left with many of them when the others have ended.
The longest come first. A name that is missing here costs time and nothing else.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

LONGEST = (
    "test_every_slot_has_one_record_and_runs_once_however_often_the_service_is_killed",
    "test_runs_that_wait_for_a_worker_their_turn_or_the_log_are_not_stuck",
    "test_a_command_whose_directory_or_program_hangs_costs_one_thread_and_delays_nothing",
    "test_a_process_that_became_root_under_a_users_service_is_named_and_counts_as_its_run",
    "test_a_clock_that_is_set_is_noticed_in_time_and_no_slot_is_lost_or_doubled",
    "test_a_stuck_run_fails_health_and_ends_in_a_restart_that_accounts_for_it",
    "test_a_burst_of_runs_is_not_stuck",
    "test_a_service_with_few_descriptors_runs_what_it_can_and_records_the_rest",
    "test_a_stop_while_the_disk_is_full_lets_nothing_run_twice",
    "test_a_clock_that_is_set_by_years_is_survived",
    "test_a_service_that_was_frozen_accounts_for_the_time_and_does_not_end",
    "test_files_are_edited_broken_mended_and_deleted_while_it_runs",
    "test_a_disk_that_does_not_answer_stops_no_run_and_no_stop",
    "test_a_home_that_hangs_costs_one_thread_and_delays_nothing",
    "test_every_slot_has_one_record_when_the_service_is_stopped_and_started",
    "test_a_log_that_hangs_fails_and_runs_go_on_without_waiting",
    "test_a_burst_of_failures_delays_no_run",
)
"""Tests of `SPLIT` that take longest."""

FIRST = (
    *("test_running_md", "test_day_one_md", "test_systemd", "test_packaging", "test_database_service"),
    *("test_hangs_by_count", "test_files_table", "test_scheduler_stuck_runs", "test_account_log", "test_verbs"),
    *("test_cluster_service", "test_cluster_verbs", "test_completion_shells"),
    *("test_command_tree_killer", "test_zone_rules_service", "test_page_service", "test_alerts_service"),
    *("test_account_restart", "test_service", "test_files_watching", "test_health", "test_account_crash"),
    *("test_hangs_service", "test_hangs_of_commands", "test_hangs_of_logs", "test_unkillable_processes"),
    *("test_account_shortage", "test_account_standstill", "test_scheduler_attempts", "test_log_stream"),
    *("test_settings_service", "test_files_storm", "test_alerts_at_the_end", "test_service_stop", "test_output_disks"),
    *("test_account_clock", "test_account_checkpoint", "test_cli_history", "test_scheduler_run_chain"),
    *("test_account_histories", "test_runlog_hangs", "test_cli_explain", "test_runlog_recovery", "test_files_tools"),
    *("test_alerts_md", "test_pauses", "test_runlog", "test_http_task", "test_file_locks", "test_command_processes"),
    *("test_benchmarks", "test_web_connections", "test_scheduler_pauses", "test_runner_process_loop"),
    *("test_account_flood", "test_account_clock_table", "test_fork_server", "test_trust", "test_guarded_directory"),
    *("test_status_shown", "test_scheduler", "test_stop", "test_watcher"),
)
"""Files that begin before all others, the longest first. They mostly wait."""

BUSY = (
    *("test_accounting_faults", "test_accounting", "test_jobsmanager_schedules", "test_import_crontab"),
    *("test_runner_interleavings", "test_web_app", "test_command_coreutils", "test_notify_task", "test_timezones"),
    *("test_control", "test_output_service", "test_verbs_on_terminals", "test_parser_fuzz", "test_web_server"),
    *("test_command_background_pipes", "test_architecture", "test_verbs_settings", "test_crontab_count"),
    *("test_mounts", "test_runlog_bounded_query", "test_web_metrics", "test_process", "test_plan"),
    *("test_crontab_parser", "test_cli_db", "test_runlog_query", "test_command_run_groups", "test_control_group"),
    *("test_parser_help", "test_parser_fast_schema", "test_cli"),
)
"""Files that need the processor most, the longest first."""

SPLIT = frozenset(
    {
        *("test_hangs_service", "test_account_log", "test_scheduler_stuck_runs", "test_account_clock"),
        *("test_service", "test_files_watching", "test_alerts_service", "test_settings_service", "test_cli_history"),
        *("test_account_restart", "test_log_stream", "test_health", "test_account_crash", "test_unkillable_processes"),
        *("test_runner_interleavings", "test_account_checkpoint", "test_account_standstill"),
        *("test_hangs_of_commands", "test_hangs_of_logs", "test_account_shortage", "test_service_stop"),
        *("test_alerts_at_the_end", "test_output_disks"),
    }
)
"""Files that are handed out test by test."""

_RANKS = {name: rank for rank, name in enumerate((*LONGEST, *FIRST, *BUSY))}
_WAITING = frozenset(FIRST)


class Scheduling(LoadFileScheduling):
    """Hands out files, and single tests of `SPLIT`.

    One process in eight begins with those of `BUSY`, and then takes what is not listed. The others leave it the
    processor while they wait; at the end all of them would need that at once.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if _stem(file) in SPLIT else file

    def _assign_work_unit(self, node: Any) -> None:
        if int(node.gateway.id.removeprefix("gw")) % 8 == 3:
            busy = (scope for scope in self.workqueue if _stem(scope.partition("::")[0]) not in _WAITING)
            if scope := next(busy, None):
                self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


def _stem(file: str) -> str:
    return file.rpartition("/")[2].removesuffix(".py")


def rank(item: pytest.Item) -> int:
    """Return a number by which the items are sorted."""
    name: Any = getattr(item, "originalname", item.name)
    return min(_RANKS.get(name, len(_RANKS)), _RANKS.get(item.path.stem, len(_RANKS)))
