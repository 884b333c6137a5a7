"""Many cases: which they are, on what they are run, and what came of them."""
