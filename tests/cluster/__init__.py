"""Tests of several services on one database, with private servers: `make test-cluster`."""
