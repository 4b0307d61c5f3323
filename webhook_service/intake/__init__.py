"""From a round of deliveries to verdicts: verify, parse, store, and keep in quarantine what was not understood."""
