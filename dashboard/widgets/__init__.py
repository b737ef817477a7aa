"""The parts of pages that somebody uses: what is chosen, filled in, played or marked."""
