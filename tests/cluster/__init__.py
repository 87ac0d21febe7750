"""Tests of several services on one database, with private servers: `make test-cluster`.

What can fail, and the test in which real services meet it (in `test_services.py` and `test_node_faults.py`, unless
another file is named):

- A leader dies before a claim, or is frozen and wakes:
  `test_another_node_leads_in_time_when_a_leader_dies_or_freezes`, with its own clock and without.
- It dies after a claim: `test_a_leader_that_dies_after_it_has_claimed_a_slot`.
- It dies with runs: `test_a_node_that_comes_back_under_its_name_ends_what_it_has_left`,
  `test_the_runs_of_a_leader_that_does_not_come_back_are_judged`.
- The database is away: `test_a_run_outlives_a_short_loss_of_the_database`; for longer:
  `test_runs_end_before_others_take_them_for_lost`; at a stop:
  `test_an_outcome_is_kept_when_its_node_stops_without_the_database`.
- It dies amid a step: `test_a_database_that_is_killed_amid_a_claim_a_renewal_or_a_result`.
- A leader alone is cut off from it:
  `test_a_leader_that_is_cut_off_is_replaced_and_begins_nothing_when_it_comes_back`.
- A request comes twice, or any two statements are torn apart: `test_account_on_servers.py`.
- Clocks differ: `test_a_node_whose_clock_is_an_hour_off_never_leads`.
- Jobs or zone data differ: `tests/unit/test_cluster_node_reports.py`; jobs in one database: `test_shared_jobs.py`.
"""
