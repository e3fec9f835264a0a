"""Commands about files and stores of bars."""
