"""Checks of what landed and of what leaves, and the page that shows them."""
