"""The true people and organisations of the world, and how systems come to know them."""
