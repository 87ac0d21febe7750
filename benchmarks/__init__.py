"""Measure the service from outside, on the real process, beside a floor and peers in one run."""
