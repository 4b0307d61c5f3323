"""The providers' own SDKs as judges of the presets; ``make judges`` runs them in an environment of their own."""
