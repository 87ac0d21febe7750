"""How the service logs in to MySQL and MariaDB: what it refuses, and says about it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from jobscheduler.database import mysql
from jobscheduler.database.errors import Unavailable


def test_a_password_that_the_server_keeps_as_an_old_hash_is_refused_with_the_way_out() -> None:
    """Also by a server that is known: PyMySQL cannot answer it, and its hash gives the password away."""
    connection = SimpleNamespace(may_have_password=True)
    with pytest.raises(Unavailable, match="old, weak hash of the user's password") as caught:
        mysql._PLUGINS["mysql_old_password"](connection).authenticate(None)  # type: ignore[attr-defined]
    assert "mysql_native_password" in str(caught.value.help)
