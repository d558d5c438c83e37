"""What teaches the engine a vendor: manifests, mappings, the fetch engine, and the kit that tests them."""
