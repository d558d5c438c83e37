"""The same vendor and the same mistakes, written for Airbyte's and Singer's kits; run by their interpreter, imports nothing of ours."""
