#!/usr/bin/python3
"""Fit a ReFIT Kalman filter to a session of closed-loop control by the subject of loop.json.

  models/refit/train.py --out loop.safetensors

1. a velocity Kalman filter is fitted to arm reaches, and the subject controls the cursor with it;
2. ReFIT: in those bins the decoded velocity is turned towards the target, and is zero on it; the
   counts are fitted by that intention and by the cursor's place, which is known;
3. both control the cursor in fresh trials: time to target. Beside them two Kalman filters fitted
   to the same closed-loop bins, with none and with the first of ReFIT's two ideas, so that new
   data are not taken for the method.
"""
import json

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import safetensors
from latent_models.common.files import output_name
from latent_models.common.model_file import (command_line, readout_entry, slew_limits,
                                             training_channels)
from latent_models.common.refusal import Parser, run_command
from latent_models.refit import loop, scoring


def targets(session):
    """What the fit was made to follow [1, n, 4]: position and intended velocity, and which bins
    [1, n - 1] the next one of the same trial follows."""
    rows = np.hstack([session["before"], scoring.intention(session)])
    return rows[None], (session["trial"][1:] == session["trial"][:-1])[None]


def readout_entries(recipe, session):
    """Position, held inside the workspace by the filter itself, then velocity."""
    edge, top = float(recipe["workspace_mm"]), 2.0 * recipe["intent_top_mm_s"]
    slews = slew_limits(*targets(session), recipe["bin_width_ms"] / 1000)
    bounds = [("p", "mm", edge), ("p", "mm", edge), ("v", "mm/s", top), ("v", "mm/s", top)]
    return [readout_entry(what + axis, unit, 0.0, -bound, bound, slew=slew)
            for (what, unit, bound), axis, slew in zip(bounds, "xyxy", slews)]


def main():
    parser = Parser(__doc__)
    parser.add_argument("--out", required=True, type=output_name, metavar="CHECKPOINT.safetensors",
                        help="what export.py reads")
    args, recipe = parser.parse_args(), loop.read_recipe()
    _, _, session = scoring.sessions(recipe)
    print(f"closed-loop session: {len(session['counts'])} bins, {len(session['seconds'])} trials",
          flush=True)
    tensors = scoring.fit_refit(session, recipe)
    counts = session["counts"]
    facts = {"bin_width_us": recipe["bin_width_ms"] * 1000,
             "readout": readout_entries(recipe, session),
             "licence": "Apache-2.0", "channels": training_channels(counts),
             "source": f"{command_line()}, data: models/refit/loop.json"}
    safetensors.write(args.out, tensors, {"latent": json.dumps(facts)})
    print(f"{args.out}: written")
    print("\n".join(scoring.table(recipe, tensors)))


if __name__ == "__main__":
    run_command(main)
