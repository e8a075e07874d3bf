"""Typed settings, and the defaults shipped with the product: rules, status maps, platform profiles."""
