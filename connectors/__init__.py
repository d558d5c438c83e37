"""Vendors, one folder each, and the sdk that runs them."""
