"""Work that must not hold up the hub: in slices, or in a thread."""
