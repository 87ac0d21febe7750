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
    "test_memory_does_not_grow_with_the_log",
    "test_a_clock_that_is_set_is_noticed_in_time_and_no_slot_is_lost_or_doubled",
    "test_a_command_whose_directory_or_program_hangs_costs_one_thread_and_delays_nothing",
    "test_every_slot_has_one_record_and_runs_once_however_often_the_service_is_killed",
    "test_runs_that_wait_for_a_worker_their_turn_or_the_log_are_not_a_standstill",
    "test_a_process_that_became_root_under_a_users_service_is_named_and_counts_as_its_run",
    "test_a_standstill_fails_health_and_ends_in_a_restart_that_accounts_for_it",
    "test_a_service_with_few_descriptors_runs_what_it_can_and_records_the_rest",
    "test_a_slot_that_came_while_the_service_drained_is_not_lost",
    "test_a_burst_of_runs_is_not_a_standstill",
    "test_a_mark_larger_than_the_whole_log_survives_a_flood_and_a_crash",
    "test_a_clock_that_is_set_by_years_is_survived",
    "test_a_lasting_shortage_of_descriptors_leaves_some_for_the_edit_that_ends_it",
    "test_a_home_that_hangs_costs_one_thread_and_delays_nothing",
)
"""Tests of `SPLIT` that take longest."""

FIRST = (
    *("test_running_md", "test_systemd", "test_packaging", "test_database_service"),
    *("test_hangs_by_count", "test_hangs_service", "test_account_log", "test_scheduler_stuck_runs"),
    *(
        "test_output_service",
        "test_output_disks",
        "test_account_clock",
        "test_service",
        "test_files_watching",
        "test_alerts_service",
        "test_verbs",
    ),
    *("test_settings_service", "test_account_restart", "test_log_stream", "test_health", "test_account_crash"),
    *("test_files_table", "test_runner_interleavings", "test_scheduler_run_chain", "test_account_checkpoint"),
    *("test_runlog", "test_runlog_hangs", "test_command_tree_killer", "test_command_processes", "test_files_tools"),
    *("test_cli", "test_cli_explain", "test_unkillable_processes", "test_account_standstill"),
    *("test_scheduler_attempts", "test_hangs_of_commands", "test_hangs_of_logs", "test_account_shortage"),
    *("test_account_flood", "test_alerts_at_the_end", "test_service_stop"),
    *("test_zone_rules_service", "test_page_service", "test_fork_server", "test_status_shown", "test_files_storm"),
    *("test_parser_fuzz", "test_command_coreutils", "test_runner_process_loop", "test_web_app"),
)
"""Files that begin before all others, the longest first."""

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

_RANKS = {name: rank for rank, name in enumerate((*LONGEST, *FIRST))}


class Scheduling(LoadFileScheduling):
    """Hands out files, and single tests of `SPLIT`.

    One process in four begins with the files that are not listed here. These need the processor, which the others leave
    idle while they wait; at the end all processes would need it at once.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if _stem(file) in SPLIT else file

    def _assign_work_unit(self, node: Any) -> None:
        if int(node.gateway.id.removeprefix("gw")) % 4 == 3:
            unlisted = (scope for scope in self.workqueue if _stem(scope.partition("::")[0]) not in _RANKS)
            if scope := next(unlisted, None):
                self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


def _stem(file: str) -> str:
    return file.rpartition("/")[2].removesuffix(".py")


def rank(item: pytest.Item) -> int:
    """Return a number by which the items are sorted."""
    name: Any = getattr(item, "originalname", item.name)
    return min(_RANKS.get(name, len(_RANKS)), _RANKS.get(item.path.stem, len(_RANKS)))
