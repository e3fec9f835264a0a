"""LEAN's data folders."""
