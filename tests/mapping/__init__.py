"""Mapping profiles: values, records, shipped profiles."""
