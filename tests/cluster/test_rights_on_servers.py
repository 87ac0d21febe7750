"""The rights that docs/cluster.md gives each account are enough for it, and no more than that."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from jobscheduler.cluster import lease_rows, nodes, requests
from jobscheduler.cluster.nodes import Loaded, Process
from jobscheduler.cluster.requests import Request
from jobscheduler.cluster.schema import Made, make_tables
from jobscheduler.cluster.steps import perform
from jobscheduler.cluster.values import Attempt, Claim, Identity, Outcome
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from tests.support import databases
from tests.support.asked_account import AskedAccount
from tests.support.cluster_servers import Server, cluster_server

__all__ = ["cluster_server"]

DOCUMENT = Path(__file__).parents[2] / "docs/cluster.md"

HERE = Identity("a", "scheduler", "local", "a1")


def grant(server: Server, url: str, account: str) -> str:
    """Create an account as the document says; return the URL with which it connects."""
    mysql, postgresql = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    name = f"{account}{make_url(url).database}"
    block = (mysql if isinstance(server, databases.Server) else postgresql).replace(
        "cluster.", f"{make_url(url).database}."
    )
    lines = [re.sub(rf"\b{account}\b(?=[@ ;]|$)", name, line) for line in block.splitlines() if account in line]
    if isinstance(server, databases.Server):
        server.sql(*lines)
    else:
        place = make_url(url)
        with psycopg.connect(
            host="127.0.0.1", port=place.port, user="tester", dbname=place.database, autocommit=True
        ) as one:
            for line in lines:
                one.execute(line)
    return make_url(url).set(username=name, password=f"secret-of-{account}").render_as_string(hide_password=False)


@pytest.fixture
def urls(cluster_server: Server) -> tuple[str, str]:
    """The URLs of the account that makes the tables, and of the services."""
    url = cluster_server.fresh()
    maker = grant(cluster_server, url, "maker")
    assert make_tables(Database(maker)) is Made.CREATED
    assert make_tables(Database(maker)) is Made.UNCHANGED
    return maker, grant(cluster_server, url, "scheduler")


def test_a_service_can_do_all_that_it_has_to_and_change_no_table(urls: tuple[str, str]) -> None:
    """Lease, account, retention, nodes and requests."""
    database = Database(urls[1])
    account = AskedAccount(database)
    with database.polling() as connection:
        term = perform(connection, lease_rows.take("a", "a1", 60.0)).term
        ((claim, _),) = account.claim(term, [Claim("j", "2026-11-22T01:00:00Z", "r1", "local", "{}")], lambda: "never")
        attempt = Attempt(claim.job_id, claim.slot, 1, "once")
        assert account.begin(HERE, [attempt]) == account.finish({attempt: Outcome("SUCCESS")}) == {claim.key}
        assert account.record(term, account.unfinished()) == {claim.key}
        account.judge(term, 60.0)
        assert account.remove_old_runs(term, -5.0, "2027") == 1
        perform(connection, nodes.register(database.kind, HERE, Process("host", "boot", 1), 60.0))
        assert perform(connection, nodes.beat_node(HERE, Loaded(), 60.0)).has(HERE)
        perform(connection, nodes.leave(HERE))
        perform(connection, requests.ask(Request("t1", "run", "{}", "ann", "a")))
        assert perform(connection, requests.take_requests(term))
    account.close()
    with pytest.raises(Unavailable), database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE js_run")
