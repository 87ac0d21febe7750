"""Definitions made from the tables of other schedulers.

Pure: a text or a pickle goes in, definitions and remarks come out.
"""
