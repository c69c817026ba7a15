#!/usr/bin/python3
"""latent-sim, latent-replay and latent-decode, started as a user starts them: what they write, what
they send, and what they say when something is wrong."""
import unittest

from tool_decode import Decode
from tool_replay import Replay
from tool_sim import Dataset, Live

__all__ = ["Dataset", "Decode", "Live", "Replay"]

if __name__ == "__main__":
    unittest.main(verbosity=2)
