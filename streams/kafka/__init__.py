"""What all parts share about Kafka: clients, what their errors mean, offsets, and reading one topic."""
