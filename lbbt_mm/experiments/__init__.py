"""Matched experiments: plan, run, collect, choose, report."""
