"""The way in: from a round of deliveries, which are taken in together by one transaction, to their verdicts."""
