"""From a round of deliveries to verdicts. A round is the deliveries that are taken in together, by one transaction."""
