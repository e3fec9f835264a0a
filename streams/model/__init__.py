"""Records that cross a package's boundary: plain, frozen, without behavior."""
