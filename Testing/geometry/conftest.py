"""How many examples hypothesis tries: few, always the same, unless HYPOTHESIS_PROFILE is "thorough"."""

import os

from hypothesis import Phase, settings

quickly = Phase.explicit, Phase.generate  # a smaller example of what fails is for the thorough profile to find
settings.register_profile("quick", max_examples=8, derandomize=True, deadline=None, database=None, phases=quickly)
settings.register_profile("thorough", max_examples=300, deadline=None, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
