"""Models: one module for each wire format, a catalogue that finds them, and the built-in local model."""
