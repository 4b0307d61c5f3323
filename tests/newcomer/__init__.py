"""The README from a clean clone, block by block: run by ``make newcomer``."""
