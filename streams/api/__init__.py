"""HTTP over a session: health and metrics, reads of the committed state behind the gate, and commands.

One FastAPI app, served by uvicorn in a thread with an event loop of its own. What it needs of a worker stands in `reader`;
it knows neither Kafka's side of it nor Faust.
"""
