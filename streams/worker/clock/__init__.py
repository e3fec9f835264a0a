"""The worker's clock against the brokers' and the feeds'."""
