"""The page for people: rendered here, without scripts and without anything from elsewhere."""
