"""The parts of pages: what is chosen, filled in, played, marked or explained."""
