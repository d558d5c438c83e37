"""Published bugs of other projects, each re-created once: in a connector's files, or in one seam of our engine."""
