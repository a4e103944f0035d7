"""What every HTTP door shares: the way in, the one envelope for errors, and the client's connection."""
