"""Judging rules: pairs of alerts, outcomes of orders, figures of both."""
