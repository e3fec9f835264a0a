"""Brokers for tests: one, three, secured, and what is done to them."""
