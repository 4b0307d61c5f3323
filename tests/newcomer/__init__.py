"""The README from a clean clone, block by block, by ``make newcomer``; the blocks of the other pages by tests."""
