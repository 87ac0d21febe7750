"""Definitions made from the tables of other schedulers. Pure: a text goes in, definitions and remarks come out."""
