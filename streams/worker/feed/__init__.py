"""Reading the source topics: one consumer, batches, and how far it may run ahead."""
