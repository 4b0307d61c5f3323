"""Who sends: one file a provider, each without a word of HTTP frameworks or databases."""
