"""What ``dagster dev`` loads: the definitions of the configured hub."""

from dagster_project.build import build_definitions
from dagster_project.hub import load_hub

defs = build_definitions(load_hub())
