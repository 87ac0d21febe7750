"""Several services on one database: the lease of the leader, and the account of slots that they share.

One rule: the database decides. A clock of a host, a message or a late answer may be wrong; a row is not.
It needs the extra `cluster`, which is not imported before a service is given the URL of a cluster.
"""
