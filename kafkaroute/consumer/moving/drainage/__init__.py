"""Whether a *group* has read a place to its end: asked by a consumer that never joins it."""
