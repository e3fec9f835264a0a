"""What a session is (its config file) and what a process takes from its environment."""
