"""A stand-in for kfp."""
