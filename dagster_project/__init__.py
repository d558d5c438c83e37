"""Dagster's view of the hub: the only package that imports dagster, and a thin one."""
