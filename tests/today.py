"""The seed of the day: the random programs of the ordinary tests are others every day (UTC), and the same all day long.

``GRAPHLINT_TEST_SEED`` names another one, to repeat a failure.
"""

import os
from datetime import datetime, timezone

SEED = int(os.environ.get("GRAPHLINT_TEST_SEED") or datetime.now(timezone.utc).date().toordinal() * 1000)
REPEAT = f"GRAPHLINT_TEST_SEED={SEED}"
