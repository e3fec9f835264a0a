"""The same work in other libraries: programs that run in the environment `.venv-peers`, not part of this project's own."""
